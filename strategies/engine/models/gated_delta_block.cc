#include "strategies/engine/models/gated_delta_block.h"

namespace attend::engine {
namespace {

// A key head's q, k, v, z stand side by side, and so do its b, a; v, z, b and a of a key head are
// those of the value heads that read it. Slices in another order set them as the operator has them.
Linear fused_in(const LayerSource& from) {
  const LinearAttentionConfig& c = from.config.linear_attention;
  const int64_t ratio = c.v_heads / c.k_heads, values = ratio * c.v_dim;
  const int64_t group = 2 * c.k_dim + 2 * values;
  const Linear::Part qkvz = from.projection(from.name("linear_attn.in_proj_qkvz"),
                                            c.k_heads * group, from.config.hidden_size);
  const Linear::Part ba =
      from.projection(from.name("linear_attn.in_proj_ba"), 2 * c.v_heads, from.config.hidden_size);
  std::vector<Linear::Part> parts;
  const auto take = [&](const Linear::Part& all, int64_t stride, int64_t first, int64_t count) {
    for (int64_t h = 0; h < c.k_heads; ++h)
      parts.push_back(outputs_of(all, h * stride + first, count));
  };
  take(qkvz, group, 0, c.k_dim);
  take(qkvz, group, c.k_dim, c.k_dim);
  take(qkvz, group, 2 * c.k_dim, values);
  take(qkvz, group, 2 * c.k_dim + values, values);
  take(ba, 2 * ratio, 0, ratio);
  take(ba, 2 * ratio, ratio, ratio);
  return Linear(parts, from.compute);
}

Linear output(const LayerSource& from) {
  const LinearAttentionConfig& c = from.config.linear_attention;
  const Linear::Part part = from.projection(from.name("linear_attn.out_proj"),
                                            from.config.hidden_size, c.v_heads * c.v_dim);
  return Linear({&part, 1}, from.compute);
}

}  // namespace

GatedDeltaBlock::GatedDeltaBlock(const LayerSource& from)
    : in_(fused_in(from)), out_(output(from)) {
  const LinearAttentionConfig& c = from.config.linear_attention;
  const int64_t channels = 2 * c.k_heads * c.k_dim + c.v_heads * c.v_dim;
  const auto read = [&](const char* name, std::initializer_list<int64_t> shape) {
    return from.weights.tensor_f32(from.name(name), shape);
  };
  conv_ = read("linear_attn.conv1d.weight", {channels, 1, c.conv_kernel});
  a_log_ = read("linear_attn.A_log", {c.v_heads});
  dt_bias_ = read("linear_attn.dt_bias", {c.v_heads});
  norm_ = read("linear_attn.norm.weight", {c.v_dim});

  layer_.layer_id = from.layer;
  layer_.k_heads = static_cast<int32_t>(c.k_heads);
  layer_.v_heads = static_cast<int32_t>(c.v_heads);
  layer_.k_dim = static_cast<int32_t>(c.k_dim);
  layer_.v_dim = static_cast<int32_t>(c.v_dim);
  layer_.norm_eps = static_cast<float>(from.config.rms_norm_eps);
  layer_.conv_weight = contiguous(conv_.view().data, DType::kF32, {channels, c.conv_kernel});
  layer_.a_log = a_log_;
  layer_.dt_bias = dt_bias_;
  layer_.norm_weight = norm_;
}

void GatedDeltaBlock::forward(const Step& step, const TensorView& x,
                              const TensorView& residual) const {
  Workspace& space = step.workspace;
  const int64_t rows = x.dim(0), heads = layer_.v_heads, width = heads * layer_.v_dim;
  const int64_t channels = 2 * layer_.k_heads * layer_.k_dim + width;
  const TensorView all = space.projected.get(rows, in_.out());
  in_.run(x, all, step.batch_invariant);
  const TensorView z = heads_of(all, channels, heads, layer_.v_dim);
  const TensorView b = columns_of(all, channels + width, heads);
  const TensorView a = columns_of(all, channels + width + heads, heads);

  const TensorView out = space.mixed.get(rows, width);
  step.backend.forward_gdn(layer_, columns_of(all, 0, channels), a, b, z,
                           heads_of(out, 0, heads, layer_.v_dim));
  const TensorView added = space.added.get(rows, out_.out());
  out_.run(out, added, step.batch_invariant);
  add_to(added, residual);
}

}  // namespace attend::engine
