#include "call.h"

#include <nanobind/stl/string.h>

#include <cstring>
#include <string>

#include "attend/error.h"
#include "output.h"

namespace attend::python {
namespace {

const char* door(DeviceType type) {
  switch (type) {
    case DeviceType::kCuda: return "forward_cuda";
    case DeviceType::kRocm: return "forward_rocm";
    default: return "forward_native";
  }
}

// The word in a device's memory where its kernels record the first bad index.
class DeviceErrorWord {
 public:
  DeviceErrorWord(ExecContext& context, Device device) {
    Tensor zero = Tensor::empty(DType::kI8, {sizeof(ErrorWord)});
    std::memset(zero.data<char>(), 0, sizeof(ErrorWord));
    word_ = zero.to(device);
    context.device = device;
    context.error_word = word_.data<ErrorWord>();
  }

 private:
  Tensor word_;
};

// Runs the call; no Python object is touched in here.
RunResult run(const Call& call) {
  const Device device = call.args.q.device;
  ExecContext context = call.context;
  std::optional<DeviceErrorWord> error_word;
  if (device.type != DeviceType::kNative && call.check_indices) {
    // No word is made for a call that no backend takes: its refusal says why.
    if (call.op.supports(call.args, call.params, device)) error_word.emplace(context, device);
  }
  RunResult result;
  if (!call.kernel.empty()) {
    if (call.device && *call.device != device.type)
      throw Error(ErrorCode::kInvalidArgument, std::string(door(*call.device)) + ": q is on " +
                                                   name(device.type) + ", expected " +
                                                   name(*call.device) +
                                                   "; move the tensors there or leave device out");
    result = call.op.run_kernel(call.kernel, call.args, call.params, context);
  } else if (call.device) {
    result = call.op.forward_on(*call.device, call.args, call.params, context);
  } else {
    result = call.op.forward(call.args, call.params, context);
  }
  if (error_word) context.check();
  return result;
}

nb::object given(const nb::object& object, bool asked, const nb::object& finish, const Call& call) {
  return asked ? finish(call.q, object) : nb::none();
}

nb::object run_call(const std::string& op, nb::handle q, nb::handle k, nb::handle v,
                    const nb::dict& words) {
  Call call(attention_op(op_from_name(op)));
  read_words(call, q, k, v, words);
  const Outputs outputs(call);
  RunResult result;
  {
    const nb::gil_scoped_release others_may_run;
    result = run(call);
  }
  const nb::module_ kinds = nb::module_::import_("attend._kinds");
  const nb::object finish = kinds.attr("finish");
  const nb::object out = call.out.is_valid() ? call.out : finish(call.q, outputs.out);
  if (!call.return_lse && !call.return_weights && !call.return_scores && !call.return_kernel)
    return out;
  return nb::module_::import_("attend._results")
      .attr("Result")(out, given(outputs.lse, call.return_lse, finish, call),
                      given(outputs.weights, call.return_weights, finish, call),
                      given(outputs.scores, call.return_scores, finish, call),
                      nb::str(result.kernel));
}

Device device_of(const Call& call) {
  const Device at = call.args.q.device;
  return call.device && *call.device != at.type ? Device{*call.device, 0} : at;
}

nb::list explain_call(const std::string& op, nb::handle q, nb::handle k, nb::handle v,
                      const nb::dict& words) {
  Call call(attention_op(op_from_name(op)));
  read_words(call, q, k, v, words);
  const PlaceholderOutputs outputs(call);
  const nb::object answer = nb::module_::import_("attend._results").attr("Answer");
  nb::list answers;
  for (const KernelAnswer& a : call.op.explain(call.args, call.params, device_of(call)))
    if (call.kernel.empty() || call.kernel == a.kernel)
      answers.append(answer(a.kernel, static_cast<bool>(a.status), to_string(a.status)));
  return answers;
}

nb::object supports_call(const std::string& op, nb::handle q, nb::handle k, nb::handle v,
                         const nb::dict& words) {
  Call call(attention_op(op_from_name(op)));
  read_words(call, q, k, v, words);
  const PlaceholderOutputs outputs(call);
  const Support support = call.op.supports(call.args, call.params, device_of(call));
  return nb::module_::import_("attend._results")
      .attr("Support")(static_cast<bool>(support), support.kernel, support.message);
}

}  // namespace

void bind_calls(nb::module_& m) {
  // None for a tensor is refused in the call's own words.
  const auto call = [&m](const char* verb, auto function) {
    m.def(verb, function, nb::arg("op"), nb::arg("q").none(), nb::arg("k").none(),
          nb::arg("v").none(), nb::arg("words"));
  };
  call("call", &run_call);
  call("explain", &explain_call);
  call("supports", &supports_call);
  m.def("known_words", &known_words);
}

}  // namespace attend::python
