// Calls behind the C surface: words by name, and the operators' doors.
#include <cstddef>
#include <memory>
#include <string>
#include <variant>

#include "attend/operator.h"
#include "ops/c_api/errors.h"
#include "ops/c_api/tensor.h"
#include "ops/words.h"

namespace attend::c_api {
namespace {

static_assert(sizeof(attend_error_word) == sizeof(ErrorWord) &&
              offsetof(attend_error_word, position) == offsetof(ErrorWord, position) &&
              offsetof(attend_error_word, rule) == offsetof(ErrorWord, rule) &&
              offsetof(attend_error_word, inner) == offsetof(ErrorWord, inner));

template <class Args, class Params>
struct Call {
  Args args;
  Params params;
};
using AttentionCall = Call<AttentionArgs, AttentionParams>;
using GdnCall = Call<GdnArgs, GdnParams>;
using MergeCall = Call<MergeArgs, MergeParams>;
using AnyCall = std::variant<AttentionCall, GdnCall, MergeCall>;

AnyCall empty_call(OpId op) {
  if (op == OpId::kGdn) return GdnCall{};
  if (op == OpId::kMerge) return MergeCall{};
  return AttentionCall{};
}

const Operator<AttentionArgs, AttentionParams>& operator_of(OpId op, const AttentionCall&) {
  return attention_op(op);
}
const Operator<GdnArgs, GdnParams>& operator_of(OpId, const GdnCall&) {
  static const GatedDeltaNet gdn;
  return gdn;
}
const Operator<MergeArgs, MergeParams>& operator_of(OpId, const MergeCall&) {
  static const MergePartials merge;
  return merge;
}

}  // namespace
}  // namespace attend::c_api

struct attend_call {
  attend::OpId op;
  attend::c_api::AnyCall words;
  attend::ExecContext context;
  attend::RunResult result;
  attend_init_bias make = nullptr;
  void* make_user = nullptr;

  explicit attend_call(attend::OpId id) : op(id), words(attend::c_api::empty_call(id)) {}
};

namespace attend::c_api {
namespace {

// f(operator, args, params) for whichever of the three kinds a call is.
template <class AnyAttendCall, class F>
auto with(AnyAttendCall& call, F&& f) {
  return std::visit([&](auto& c) { return f(operator_of(call.op, c), c.args, c.params); },
                    call.words);
}

void set(const char* where, attend_call* call, const char* name, const WordValue& value) {
  given(where, "call", call);
  given(where, "word", name);
  with(*call, [&]<class Args, class Params>(const Operator<Args, Params>&, Args& a, Params& p) {
    word<Args, Params>(where, name).set(where, a, p, value);
  });
}

// Where the call's tensors live: where its first one does.
Device device_of(const attend_call& call) {
  return with(call, []<class Args, class Params>(const Operator<Args, Params>&, const Args& a,
                                                 const Params& p) {
    Args args = a;
    Params params = p;
    for (const Word<Args, Params>& w : words<Args, Params>())
      if (w.tensor != nullptr)
        if (const TensorView& t = w.tensor(args, params); t) return t.device;
    return Device{};
  });
}

DeviceType device_type(const char* where, const char* wanted) {
  for (DeviceType type : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm})
    if (std::string(wanted) == name(type)) return type;
  throw Error(ErrorCode::kInvalidArgument,
              std::string(where) + ": device is '" + wanted + "', expected native, cuda or rocm");
}

// The device that a name means for this call; null: that of its tensors.
Device asked_device(const char* where, const attend_call& call, const char* wanted) {
  const Device own = device_of(call);
  if (wanted == nullptr) return own;
  const DeviceType type = device_type(where, wanted);
  return type == own.type ? own : Device{type, 0};
}

TensorView ask_for_bias(void* user) {
  const auto* call = static_cast<const attend_call*>(user);
  const attend_tensor* bias = call->make(call->make_user);
  return view_of("attend_call_set_init_bias",
                 *given("attend_call_set_init_bias", "the bias made", bias));
}

template <class F>
attend_error_code run(const char* where, attend_call* call, F&& f) {
  return guarded([&] {
    given(where, "call", call);
    call->result = {};
    call->result = with(*call, f);
  });
}

}  // namespace
}  // namespace attend::c_api

namespace c = attend::c_api;

extern "C" {

attend_call* attend_call_create(const char* op) {
  attend_call* call = nullptr;
  c::guarded([&] {
    c::given("attend_call_create", "op", op);
    call = new attend_call(attend::op_from_name(op));
  });
  return call;
}

void attend_call_destroy(attend_call* call) { delete call; }

attend_error_code attend_call_reset(attend_call* call) {
  return c::guarded([&] {
    c::given("attend_call_reset", "call", call);
    *call = attend_call(call->op);
  });
}

attend_error_code attend_call_set_tensor(attend_call* call, const char* word,
                                         const attend_tensor* tensor) {
  constexpr const char* kWhere = "attend_call_set_tensor";
  return c::guarded([&] {
    c::given(kWhere, "word", word);
    const attend::TensorView view =
        tensor == nullptr ? attend::TensorView{} : c::view_of(kWhere, *tensor, word);
    c::set(kWhere, call, word, view);
  });
}
attend_error_code attend_call_set_bool(attend_call* call, const char* word, int32_t value) {
  return c::guarded([&] { c::set("attend_call_set_bool", call, word, value != 0); });
}
attend_error_code attend_call_set_int(attend_call* call, const char* word, int64_t value) {
  return c::guarded([&] { c::set("attend_call_set_int", call, word, value); });
}
attend_error_code attend_call_set_float(attend_call* call, const char* word, double value) {
  return c::guarded([&] { c::set("attend_call_set_float", call, word, value); });
}
attend_error_code attend_call_set_string(attend_call* call, const char* word, const char* value) {
  return c::guarded([&] {
    c::given("attend_call_set_string", "value", value);
    c::set("attend_call_set_string", call, word, std::string_view(value));
  });
}
attend_error_code attend_call_unset(attend_call* call, const char* word) {
  return c::guarded([&] { c::set("attend_call_unset", call, word, std::monostate{}); });
}

attend_error_code attend_call_set_init_bias(attend_call* call, attend_init_bias make, void* user) {
  return c::guarded([&] {
    attend::InitBias bias;
    if (make != nullptr) bias = {c::ask_for_bias, call};
    c::set("attend_call_set_init_bias", call, "init_bias", bias);
    call->make = make;
    call->make_user = user;
  });
}

attend_error_code attend_call_set_stream(attend_call* call, void* stream) {
  return c::guarded(
      [&] { c::given("attend_call_set_stream", "call", call)->context.stream = stream; });
}
attend_error_code attend_call_set_workspace(attend_call* call, void* workspace, uint64_t bytes) {
  return c::guarded([&] {
    c::given("attend_call_set_workspace", "call", call);
    if (bytes > 0) c::given("attend_call_set_workspace", "workspace", workspace);
    call->context.workspace = workspace;
    call->context.workspace_bytes = workspace == nullptr ? 0 : bytes;
  });
}
attend_error_code attend_call_set_parallel_for(attend_call* call, attend_parallel_for run,
                                               void* user, int32_t workers) {
  return c::guarded([&] {
    c::given("attend_call_set_parallel_for", "call", call);
    if (run != nullptr && workers < 1)
      throw attend::Error(attend::ErrorCode::kInvalidArgument,
                          "attend_call_set_parallel_for: workers is " + std::to_string(workers) +
                              ", expected 1 or more");
    call->context.parallel_for = {run, run == nullptr ? nullptr : user,
                                  run == nullptr ? 0 : workers};
  });
}
attend_error_code attend_call_set_check_indices(attend_call* call, int32_t check) {
  return c::guarded([&] {
    c::given("attend_call_set_check_indices", "call", call)->context.check_indices =
        check < 0    ? attend::CheckIndices::kDefault
        : check == 0 ? attend::CheckIndices::kOff
                     : attend::CheckIndices::kOn;
  });
}
attend_error_code attend_call_set_error_word(attend_call* call, attend_error_word* word) {
  return c::guarded([&] {
    c::given("attend_call_set_error_word", "call", call)->context.error_word =
        reinterpret_cast<attend::ErrorWord*>(word);
  });
}

attend_error_code attend_call_run(attend_call* call, const char* device) {
  return c::run("attend_call_run", call, [&](const auto& op, const auto& args, const auto& params) {
    if (device == nullptr) return op.forward(args, params, call->context);
    return op.forward_on(c::device_type("attend_call_run", device), args, params, call->context);
  });
}

attend_error_code attend_call_run_kernel(attend_call* call, const char* kernel) {
  return c::run("attend_call_run_kernel", call,
                [&](const auto& op, const auto& args, const auto& params) {
                  c::given("attend_call_run_kernel", "kernel", kernel);
                  return op.run_kernel(kernel, args, params, call->context);
                });
}

const char* attend_call_kernel(const attend_call* call) {
  return call == nullptr ? "" : call->result.kernel;
}
const char* attend_call_note(const attend_call* call) {
  return call == nullptr ? "" : call->result.note;
}

attend_error_code attend_call_check(const attend_call* call) {
  return c::guarded([&] {
    c::given("attend_call_check", "call", call);
    attend::ExecContext context = call->context;
    context.device = c::device_of(*call);
    context.check();
  });
}

attend_error_code attend_call_supports(const attend_call* call, const char* device,
                                       const char** kernel) {
  return c::guarded([&] {
    if (kernel != nullptr) *kernel = "";
    c::given("attend_call_supports", "call", call);
    const attend::Device where = c::asked_device("attend_call_supports", *call, device);
    const attend::Support answer =
        c::with(*call, [&](const auto& op, const auto& args, const auto& params) {
          return op.supports(args, params, where);
        });
    if (!answer) throw attend::Error(answer.code, answer.message);
    if (kernel != nullptr) *kernel = answer.kernel;
  });
}

attend_error_code attend_call_explain(const attend_call* call, const char* device,
                                      attend_on_answer answer, void* user) {
  return c::guarded([&] {
    c::given("attend_call_explain", "call", call);
    c::given("attend_call_explain", "answer", answer);
    const attend::Device where = c::asked_device("attend_call_explain", *call, device);
    const auto answers = c::with(*call, [&](const auto& op, const auto& args, const auto& params) {
      return op.explain(args, params, where);
    });
    for (const attend::KernelAnswer& a : answers) {
      const std::string text = a.status ? "" : to_string(a.status);
      answer(user, a.kernel, static_cast<attend_error_code>(a.status.code), text.c_str());
    }
  });
}

}  // extern "C"
