#include "strategies/engine/hybrid_backend.h"

#include "attend/error.h"
#include "attend/operator.h"
#include "strategies/engine/math/step_times.h"
#include "strategies/engine/zeros.h"

namespace attend::engine {

void HybridBackend::forward_gdn(const GdnLayer& layer, const TensorView& mixed_qkv,
                                const TensorView& a, const TensorView& b, const TensorView& z,
                                const TensorView& out) {
  const Timed timed(&StepTimes::operators);
  if (mode() == ForwardMode::kIdle) return set_zero(out);
  const AttnMetadata& batch = fetch_attn_metadata();
  if (!batch.state_slots)
    throw Error(ErrorCode::kInvalidArgument,
                "forward_gdn: state_slots of the metadata is absent, expected i32 [num_reqs]");
  GdnArgs args;
  args.mixed_qkv = mixed_qkv;
  args.a = a;
  args.b = b;
  args.z = z;
  args.out = out;
  args.a_log = layer.a_log;
  args.dt_bias = layer.dt_bias;
  args.norm_weight = layer.norm_weight;
  args.conv_weight = layer.conv_weight;
  args.conv_bias = layer.conv_bias;
  args.state = states_.state(layer.layer_id);
  if (layer.conv_weight.dim(1) > 1) args.conv_state = states_.conv_state(layer.layer_id);
  args.state_indices = batch.state_slots;
  args.cu_seqlens = batch.cu_seqlens_q;
  GdnParams params;
  params.normalize_qk = true;
  params.norm_eps = layer.norm_eps;
  params.k_heads = layer.k_heads;
  params.v_heads = layer.v_heads;
  params.padding_slot = GdnPool::kPaddingSlot;
  GatedDeltaNet().forward(args, params);
}

}  // namespace attend::engine
