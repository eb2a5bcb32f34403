#include "attend/operator.h"

#include <exception>
#include <string>

#include "ops/checks.h"
#include "ops/environment.h"

namespace attend {

// A call that has passed every check, in the form kernels see: words that only choose a default are
// resolved (contract 1 to 3), so that no kernel decides them again.
template <class Args, class Params>
struct Operator<Args, Params>::Prepared {
  Device device;
  Params params;
};

namespace {

const char* door(DeviceType type) {
  switch (type) {
    case DeviceType::kNative: return "forward_native";
    case DeviceType::kCuda: return "forward_cuda";
    case DeviceType::kRocm: return "forward_rocm";
  }
  return "forward";
}

// The tensor that says where a call is, and what it is called.
struct Leader {
  const TensorView& tensor;
  const char* name;
};
Leader leader(const AttentionArgs& a) { return a.q ? Leader{a.q, "q"} : Leader{a.k, "k"}; }
Leader leader(const GdnArgs& a) {
  return a.mixed_qkv ? Leader{a.mixed_qkv, "mixed_qkv"} : Leader{a.q, "q"};
}
Leader leader(const MergeArgs& a) { return {a.out_a, "out_a"}; }

void check_context(const char* op, const ExecContext& context) {
  if (context.parallel_for.run != nullptr && context.parallel_for.workers < 1)
    throw_invalid(op, "parallel_for workers is " + std::to_string(context.parallel_for.workers) +
                          ", expected 1 or more");
  if ((context.allocator.allocate == nullptr) != (context.allocator.deallocate == nullptr))
    throw_invalid(op, "allocator has one of its two functions, expected both or neither");
}

// A call that checks indices on a device reports somewhere: without a word of the caller's, in the
// device's own, which ExecContext::check() reads.
ErrorWord* own_error_word(const ExecContext& context) {
#if defined(NDEBUG)
  constexpr bool kByDefault = false;
#else
  constexpr bool kByDefault = true;
#endif
  const bool checks = context.check_indices == CheckIndices::kOn ||
                      (context.check_indices == CheckIndices::kDefault && kByDefault);
  if (!checks || context.device.type == DeviceType::kNative) return nullptr;
  const BackendTable& backend = Registry::global().backend(context.device.type);
  return backend.error_word == nullptr ? nullptr : backend.error_word(context.device);
}

template <class Args, class Params>
RunResult run_row(const KernelEntry<Args, Params>& row, const Args& a, const Params& p,
                  Device device, const ExecContext& context) {
  ExecContext c = context;
  c.device = device;
  if (c.error_word == nullptr) c.error_word = own_error_word(c);
  if (const Status s = row.run(a, p, c); !s)
    throw Error(s.code, std::string(row.name) + ": " + to_string(s));
  return {row.name, ""};
}

}  // namespace

template <class Args, class Params>
typename Operator<Args, Params>::Prepared Operator<Args, Params>::prepare(
    const char* where, DeviceType type, const Args& a, const Params& p,
    const ExecContext& context) const {
  // Without the backend no tensor could be on it: that is what to say, not where the tensors are.
  if (type != DeviceType::kNative) static_cast<void>(Registry::global().backend(type));
  const Leader first = leader(a);
  if (first.tensor && first.tensor.device.type != type)
    throw Error(ErrorCode::kInvalidArgument, std::string(where) + ": " + first.name + " is on " +
                                                 name(first.tensor.device.type) + ", expected " +
                                                 name(type) +
                                                 "; move the tensors there or call forward");
  check_context(name(id_), context);
  const Device device = first.tensor ? first.tensor.device : Device{type, 0};
  return {device, checked(a, p, device)};
}

template <class Args, class Params>
template <class F>
RunResult Operator<Args, Params>::telling_of_failure(const Params& p, F&& call) const {
  try {
    return call();
  } catch (const std::exception& e) {
    failed(p, e.what());
    throw;
  }
}

template <class Args, class Params>
RunResult Operator<Args, Params>::forward_on(DeviceType type, const Args& a, const Params& p,
                                             const ExecContext& context) const {
  return telling_of_failure(p, [&] {
    const Prepared call = prepare(door(type), type, a, p, context);
    const Fallback to = falls_back(a, call.params);
    const Kernel& row = Registry::global().select(to.op, a, call.params, call.device);
    RunResult result = run_row(row, a, call.params, call.device, context);
    result.note = to.why;
    return result;
  });
}

template <class Args, class Params>
RunResult Operator<Args, Params>::forward(const Args& a, const Params& p,
                                          const ExecContext& context) const {
  return forward_on(device_override().value_or(leader(a).tensor.device.type), a, p, context);
}
template <class Args, class Params>
RunResult Operator<Args, Params>::forward_native(const Args& a, const Params& p,
                                                 const ExecContext& c) const {
  return forward_on(DeviceType::kNative, a, p, c);
}
template <class Args, class Params>
RunResult Operator<Args, Params>::forward_cuda(const Args& a, const Params& p,
                                               const ExecContext& c) const {
  return forward_on(DeviceType::kCuda, a, p, c);
}
template <class Args, class Params>
RunResult Operator<Args, Params>::forward_rocm(const Args& a, const Params& p,
                                               const ExecContext& c) const {
  return forward_on(DeviceType::kRocm, a, p, c);
}

template <class Args, class Params>
Support Operator<Args, Params>::supports(const Args& a, const Params& p,
                                         const Device& device) const {
  try {
    const Prepared call = prepare(door(device.type), device.type, a, p, {});
    const OpId op = falls_back(a, call.params).op;
    return {ErrorCode::kOk, "", Registry::global().select(op, a, call.params, call.device).name};
  } catch (const Error& e) {
    return {e.code(), e.what(), ""};
  }
}

template <class Args, class Params>
std::vector<KernelAnswer> Operator<Args, Params>::explain(const Args& a, const Params& p,
                                                          const Device& device) const {
  const Prepared call = prepare(door(device.type), device.type, a, p, {});
  return Registry::global().explain(falls_back(a, call.params).op, a, call.params, call.device);
}

template <class Args, class Params>
RunResult Operator<Args, Params>::run_kernel(std::string_view kernel, const Args& a,
                                             const Params& p, const ExecContext& context) const {
  return telling_of_failure(p, [&]() -> RunResult {
    const DeviceType type = leader(a).tensor.device.type;
    const Prepared call = prepare(door(type), type, a, p, context);
    std::string known;
    for (const Kernel& row : Registry::global().kernels<Args, Params>(id_, type)) {
      if (kernel != row.name) {
        known += (known.empty() ? "" : ", ") + std::string(row.name);
        continue;
      }
      if (const Status s = row.supports(a, call.params, call.device); !s)
        throw Error(s.code, std::string(row.name) + ": " + to_string(s));
      return run_row(row, a, call.params, call.device, context);
    }
    throw_invalid(name(id_), "kernel is '" + std::string(kernel) + "', expected one of " +
                                 (known.empty() ? "none" : known));
  });
}

template class Operator<AttentionArgs, AttentionParams>;
template class Operator<GdnArgs, GdnParams>;
template class Operator<MergeArgs, MergeParams>;

}  // namespace attend
