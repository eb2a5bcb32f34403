#include <array>
#include <string>

#include "attend/operator.h"
#include "ops/checks.h"
#include "ops/environment.h"

namespace attend {

// A call that has passed every check, in the form kernels see: words that only choose a default are
// resolved (contract 1 to 3), so that no kernel decides them again.
struct AttentionOp::Prepared {
  Device device;
  AttentionParams params;
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

AttentionParams resolve(OpId op, const AttentionArgs& a, const AttentionParams& p) {
  AttentionParams r = p;
  if (p.init_bias.make != nullptr && !p.bias && !p.mask.keep)
    r.bias = p.init_bias.make(p.init_bias.user);
  r.init_bias = {};
  if (r.mask.diagonal == Diagonal::kOperatorDefault)
    r.mask.diagonal = op == OpId::kSdpa ? Diagonal::kTopLeft : Diagonal::kBottomRight;
  if (r.mask_with_bias == MaskWithBias::kUnset && op == OpId::kSdpa)
    r.mask_with_bias = MaskWithBias::kBoth;
  if (r.deterministic) r.dropout_p = 0.0f;
  if (!r.softmax_scale && a.q.rank > 0 && a.q.rank <= kMaxRank && a.q.dim(-1) > 0)
    r.softmax_scale = 1.0f / __builtin_sqrtf(static_cast<float>(a.q.dim(-1)));
  return r;
}

RunResult run_row(const AttentionKernel& row, const AttentionArgs& a, const AttentionParams& p,
                  Device device, const ExecContext& context) {
  ExecContext c = context;
  c.device = device;
  if (const Status s = row.run(a, p, c); !s)
    throw Error(s.code, std::string(row.name) + ": " + to_string(s));
  return {row.name, ""};
}

}  // namespace

AttentionOp::Prepared AttentionOp::prepare(const char* where, DeviceType type,
                                           const AttentionArgs& a, const AttentionParams& p,
                                           const ExecContext& context) const {
  // Without the backend no tensor could be on it: that is what to say, not where the tensors are.
  if (type != DeviceType::kNative) static_cast<void>(Registry::global().backend(type));
  if (a.q && a.q.device.type != type)
    throw Error(ErrorCode::kInvalidArgument,
                std::string(where) + ": q is on " + name(a.q.device.type) + ", expected " +
                    name(type) + "; move the tensors there or call forward");
  const char* op = name(id_);
  if (context.parallel_for.run != nullptr && context.parallel_for.workers < 1)
    throw_invalid(op, "parallel_for workers is " + std::to_string(context.parallel_for.workers) +
                          ", expected 1 or more");
  if ((context.allocator.allocate == nullptr) != (context.allocator.deallocate == nullptr))
    throw_invalid(op, "allocator has one of its two functions, expected both or neither");
  Prepared prepared{a.q ? a.q.device : Device{type, 0}, resolve(id_, a, p)};
  AttentionParams& r = prepared.params;
  check_words(op, r);
  if (r.mask_with_bias == MaskWithBias::kBiasOnly && r.bias) r.mask.keep = {};
  check_tensors(op, prepared.device, a, r);
  check(a, r);
  if (type == DeviceType::kNative) {
    check_indices(op, a, r);
    check_overlap(op, a, r);
  }
  return prepared;
}

RunResult AttentionOp::forward_on(DeviceType type, const AttentionArgs& a, const AttentionParams& p,
                                  const ExecContext& context) const {
  const Prepared call = prepare(door(type), type, a, p, context);
  const AttentionKernel& row = Registry::global().select(id_, a, call.params, call.device);
  return run_row(row, a, call.params, call.device, context);
}

RunResult AttentionOp::forward(const AttentionArgs& a, const AttentionParams& p,
                               const ExecContext& context) const {
  return forward_on(device_override().value_or(a.q.device.type), a, p, context);
}
RunResult AttentionOp::forward_native(const AttentionArgs& a, const AttentionParams& p,
                                      const ExecContext& c) const {
  return forward_on(DeviceType::kNative, a, p, c);
}
RunResult AttentionOp::forward_cuda(const AttentionArgs& a, const AttentionParams& p,
                                    const ExecContext& c) const {
  return forward_on(DeviceType::kCuda, a, p, c);
}
RunResult AttentionOp::forward_rocm(const AttentionArgs& a, const AttentionParams& p,
                                    const ExecContext& c) const {
  return forward_on(DeviceType::kRocm, a, p, c);
}

Support AttentionOp::supports(const AttentionArgs& a, const AttentionParams& p,
                              const Device& device) const {
  try {
    const Prepared call = prepare(door(device.type), device.type, a, p, {});
    return {ErrorCode::kOk, "", Registry::global().select(id_, a, call.params, call.device).name};
  } catch (const Error& e) {
    return {e.code(), e.what(), ""};
  }
}

std::vector<KernelAnswer> AttentionOp::explain(const AttentionArgs& a, const AttentionParams& p,
                                               const Device& device) const {
  const Prepared call = prepare(door(device.type), device.type, a, p, {});
  return Registry::global().explain(id_, a, call.params, call.device);
}

RunResult AttentionOp::run_kernel(std::string_view kernel, const AttentionArgs& a,
                                  const AttentionParams& p, const ExecContext& context) const {
  const DeviceType type = a.q.device.type;
  const Prepared call = prepare(door(type), type, a, p, context);
  std::string known;
  for (const AttentionKernel& row : Registry::global().attention_kernels(id_, type)) {
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
}

const AttentionOp& attention_op(OpId op) {
  static const VanillaAttention vanilla;
  static const FlashAttention flash;
  switch (op) {
    case OpId::kVanilla: return vanilla;
    case OpId::kFlash: return flash;
    default:
      throw_unsupported(name(op), "this operator is not built yet, expected vanilla or flash");
  }
}

}  // namespace attend
