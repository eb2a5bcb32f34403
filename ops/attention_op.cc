#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {
namespace {

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

}  // namespace

AttentionParams AttentionOp::checked(const AttentionArgs& a, const AttentionParams& p,
                                     Device device) const {
  const char* op = name(id());
  AttentionParams r = resolve(id(), a, p);
  check_words(op, r);
  if (r.mask_with_bias == MaskWithBias::kBiasOnly && r.bias) r.mask.keep = {};
  GivenTensors given;
  for_each_tensor(a, r, given);
  check_tensors(op, device, given);
  check(a, r);
  if (device.type == DeviceType::kNative) check_indices(op, a, r);  // contents; else on the device
  check_overlap(op, a, given);
  return r;
}

const AttentionOp& attention_op(OpId op) {
  static const VanillaAttention vanilla;
  static const FlashAttention flash;
  static const PagedAttention paged;
  static const SplashAttention splash;
  static const DecodeAttention decode;
  static const SdpaAttention sdpa;
  static const RingAttention ring;
  static const AppendKv append;
  switch (op) {
    case OpId::kVanilla: return vanilla;
    case OpId::kFlash: return flash;
    case OpId::kPaged: return paged;
    case OpId::kSplash: return splash;
    case OpId::kDecode: return decode;
    case OpId::kSdpa: return sdpa;
    case OpId::kRing: return ring;
    case OpId::kAppend: return append;
    default:
      throw_unsupported(name(op),
                        "arguments are not AttentionArgs; use GatedDeltaNet or MergePartials");
  }
}

}  // namespace attend
