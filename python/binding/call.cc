#include "call.h"

#include <nanobind/stl/string.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "attention_call.h"
#include "gdn_call.h"
#include "merge_call.h"
#include "words.h"

namespace attend::python {
namespace {

const char* door(DeviceType type) {
  switch (type) {
    case DeviceType::kCuda: return "forward_cuda";
    case DeviceType::kRocm: return "forward_rocm";
    default: return "forward_native";
  }
}

// The words in devices' memory where kernels record the first bad index: a thread has its own, so
// that no call answers for another's.
class ErrorWords {
 public:
  static ErrorWord* find(Device device) {
    const auto known = words().find({device.type, device.index});
    return known == words().end() ? nullptr : known->second.data<ErrorWord>();
  }
  static ErrorWord* make(Device device) {
    Tensor zero = Tensor::empty(DType::kI8, {sizeof(ErrorWord)});
    std::memset(zero.data<char>(), 0, sizeof(ErrorWord));
    return (words()[{device.type, device.index}] = zero.to(device)).data<ErrorWord>();
  }

 private:
  using Words = std::map<std::pair<DeviceType, int16_t>, Tensor>;
  static Words& words() {
    static thread_local Words all;
    return all;
  }
};

// Calls f with the call of the operator of that name or alias.
template <class F>
auto with_call(const std::string& op, F&& f) {
  const OpId id = op_from_name(op);
  if (id == OpId::kGdn) {
    GdnCall call;
    return f(call);
  }
  if (id == OpId::kMerge) {
    MergeCall call;
    return f(call);
  }
  AttentionCall call(attention_op(id));
  return f(call);
}

// Runs the call; no Python object is touched in here.
template <class Call>
RunResult run(const Call& call) {
  const Device device = call.leader().device;
  ExecContext context = call.context;
  if (device.type != DeviceType::kNative && call.check_indices) {
    context.device = device;
    context.error_word = ErrorWords::find(device);
    // No word is made for a call that no backend takes: its refusal says why.
    if (context.error_word == nullptr && call.op.supports(call.args, call.params, device))
      context.error_word = ErrorWords::make(device);
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
  if (context.error_word != nullptr) context.check();
  return result;
}

nb::object run_call(const std::string& op, const nb::dict& said) {
  return with_call(op, [&](auto& call) {
    std::vector<Wanted> made;
    try {
      call.read(said);
      made = call.wanted();
      make_outputs(call, call.leader().device, made);
    } catch (const std::exception& e) {
      call.refused(e.what());
      throw;
    }
    RunResult result;
    {
      const nb::gil_scoped_release others_may_run;
      result = run(call);
    }
    finish_outputs(call, made);
    return call.result(result);
  });
}

Device device_of(const Request& call, Device at) {
  return call.device && *call.device != at.type ? Device{*call.device, 0} : at;
}

nb::list explain_call(const std::string& op, const nb::dict& said) {
  return with_call(op, [&](auto& call) {
    call.read(said);
    const Device at = call.leader().device;
    const PlaceholderOutputs outputs(call, at, call.wanted());
    const nb::object answer = nb::module_::import_("attend._results").attr("Answer");
    nb::list answers;
    for (const KernelAnswer& a : call.op.explain(call.args, call.params, device_of(call, at)))
      if (call.kernel.empty() || call.kernel == a.kernel)
        answers.append(answer(a.kernel, static_cast<bool>(a.status), to_string(a.status)));
    return answers;
  });
}

nb::object supports_call(const std::string& op, const nb::dict& said) {
  return with_call(op, [&](auto& call) {
    Support support;
    try {
      call.read(said);
      const Device at = call.leader().device;
      const PlaceholderOutputs outputs(call, at, call.wanted());
      support = call.op.supports(call.args, call.params, device_of(call, at));
    } catch (const Error& e) {  // a word of another operator's is an answer too
      if (e.code() != ErrorCode::kUnsupported) throw;
      support = {e.code(), e.what(), ""};
    }
    return nb::module_::import_("attend._results")
        .attr("Support")(static_cast<bool>(support), support.kernel, support.message);
  });
}

}  // namespace

void bind_calls(nb::module_& m) {
  // `words` holds the tensors as well; None for one is refused in the call's own words.
  const auto call = [&m](const char* verb, auto function) {
    m.def(verb, function, nb::arg("op"), nb::arg("words"));
  };
  call("call", &run_call);
  call("explain", &explain_call);
  call("supports", &supports_call);
  m.def("known_words", &known_words, nb::arg("op"));
  m.def(
      "op_name", [](const std::string& op) { return name(op_from_name(op)); }, nb::arg("op"));
}

}  // namespace attend::python
