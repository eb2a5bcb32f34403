#include "strategies/engine/models/attention_block.h"

#include <cmath>

namespace attend::engine {
namespace {

Linear fused_qkv(const LayerSource& from) {
  const ModelConfig& c = from.config;
  const int64_t head = c.head_dim, kv = c.num_key_value_heads * head;
  const auto project = [&](const char* name, int64_t out) {
    return from.projection(from.name(name), out, c.hidden_size, c.attention_bias);
  };
  const Linear::Part k = project("self_attn.k_proj", kv), v = project("self_attn.v_proj", kv);
  if (!c.gated_attention) {
    const Linear::Part parts[] = {project("self_attn.q_proj", c.num_attention_heads * head), k, v};
    return Linear(parts, from.compute);
  }
  // A head's query and its gate stand side by side: the gates go behind v.
  const Linear::Part both = project("self_attn.q_proj", c.num_attention_heads * 2 * head);
  std::vector<Linear::Part> parts;
  for (int64_t h = 0; h < c.num_attention_heads; ++h)
    parts.push_back(outputs_of(both, 2 * h * head, head));
  parts.push_back(k);
  parts.push_back(v);
  for (int64_t h = 0; h < c.num_attention_heads; ++h)
    parts.push_back(outputs_of(both, (2 * h + 1) * head, head));
  return Linear(parts, from.compute);
}

Linear output(const LayerSource& from) {
  const ModelConfig& c = from.config;
  const Linear::Part part = from.projection(from.name("self_attn.o_proj"), c.hidden_size,
                                            c.num_attention_heads * c.head_dim, c.attention_o_bias);
  return Linear({&part, 1}, from.compute);
}

}  // namespace

AttentionBlock::AttentionBlock(const LayerSource& from)
    : gated_(from.config.gated_attention),
      norm_plus_one_(from.config.norm_plus_one),
      eps_(static_cast<float>(from.config.rms_norm_eps)),
      qkv_(fused_qkv(from)),
      o_(output(from)) {
  const ModelConfig& c = from.config;
  layer_.layer_id = from.layer;
  layer_.num_heads = static_cast<int32_t>(c.num_attention_heads);
  layer_.num_kv_heads = static_cast<int32_t>(c.num_key_value_heads);
  layer_.head_dim = static_cast<int32_t>(c.head_dim);
  layer_.scaling = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  layer_.sliding_window = c.sliding_window[static_cast<size_t>(from.layer)];
  if (c.qk_norm) {
    q_norm_ = from.weights.tensor_f32(from.name("self_attn.q_norm.weight"), {c.head_dim});
    k_norm_ = from.weights.tensor_f32(from.name("self_attn.k_norm.weight"), {c.head_dim});
  }
}

TensorView AttentionBlock::rotated(const Step& step, const TensorView& x, const Tensor& norm,
                                   Buffer& buffer) const {
  const int64_t heads = x.dim(1), width = x.dim(2);
  const bool in_place = step.compute == x.dtype;
  const TensorView y =
      in_place ? x : heads_of(buffer.get(x.dim(0), heads * width, step.compute), 0, heads, width);
  const HeadNorm head_norm{norm, eps_, norm_plus_one_};
  for (const RotaryRows& r : step.rotary) {
    const int64_t count = r.end - r.begin;
    norm_and_rotate(
        rows_of(x, r.begin, count), head_norm, *r.rotary,
        step.positions.subspan(static_cast<size_t>(r.begin), static_cast<size_t>(count)),
        rows_of(y, r.begin, count));
  }
  return y;
}

void AttentionBlock::forward(const Step& step, const TensorView& x,
                             const TensorView& residual) const {
  Workspace& space = step.workspace;
  const int64_t rows = x.dim(0), head = layer_.head_dim, heads = layer_.num_heads,
                kv_heads = layer_.num_kv_heads;
  const TensorView all = space.projected.get(rows, qkv_.out());
  qkv_.run(x, all, step.batch_invariant);
  const int64_t at_k = heads * head, at_v = at_k + kv_heads * head,
                at_gate = at_v + kv_heads * head;

  const TensorView q = rotated(step, heads_of(all, 0, heads, head), q_norm_, space.q);
  const TensorView k = rotated(step, heads_of(all, at_k, kv_heads, head), k_norm_, space.k);
  TensorView v = heads_of(all, at_v, kv_heads, head);
  if (step.compute != v.dtype) {
    const TensorView rounded =
        heads_of(space.v.get(rows, kv_heads * head, step.compute), 0, kv_heads, head);
    convert(v, rounded);
    v = rounded;
  }
  const TensorView out = space.mixed.get(rows, heads * head);
  step.backend.forward(layer_, q, k, v, heads_of(out, 0, heads, head));
  if (gated_) sigmoid_mul(columns_of(all, at_gate, heads * head), out);

  const TensorView added = space.added.get(rows, o_.out());
  o_.run(out, added, step.batch_invariant);
  add_to(added, residual);
}

}  // namespace attend::engine
