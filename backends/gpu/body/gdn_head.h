#pragma once
// What the runs of one head of one sequence need to know of the call. In shared memory: held in
// registers through the whole of a sequence, it would leave none to the rule.
#include "backends/gpu/call/gdn.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"
#include "ops/gdn/rows.h"

namespace attend::gpu {

struct GdnHead {
  // Row i at at(i, 0); those of value dims begin at the slice's first.
  RowsView rows[GdnCall::kRows];
  RowsView from, to;  // the state, a row a value dim; without base where there is none
  float rate, bias;   // exp(a_log) and dt_bias, with a
  float q_scale, l2_eps;
  int32_t chunk;           // tokens
  int32_t k_dim, v_count;  // v_count of the slice
  GdnDecayFrom decay_from;
  bool gated_beta, normalize;

  ATTEND_DEVICE bool per_channel() const {
    return decay_from == GdnDecayFrom::kChannelLogarithm ||
           decay_from == GdnDecayFrom::kChannelLinear;
  }
};

ATTEND_DEVICE RowsView gdn_rows(const GdnRows& r, const GdnSequence& s, int head, int64_t v_first) {
  const int64_t at = s.b * r.sequence + s.first * r.token + head / r.group * r.head +
                     (r.of_values ? v_first * r.dim : 0);
  return {r.data + at * size_bytes(r.dtype), r.token, 0, r.dim, r.dtype};
}

ATTEND_DEVICE RowsView gdn_state(const TensorView& t, int64_t slot, int head, int64_t v_first) {
  if (!t) return {};
  return {element(t, slot * t.stride[0] + head * t.stride[1] + v_first * t.stride[2]), t.stride[2],
          0, t.stride[3], t.dtype};
}

// A thread for each of the rows.
ATTEND_DEVICE void make_head(Thread& x, const GdnCall& c, const GdnSequence& s, int head,
                             int64_t v_first, int v_count, GdnHead& h) {
  if (x.tid() < GdnCall::kRows) h.rows[x.tid()] = gdn_rows(c.rows[x.tid()], s, head, v_first);
  const TensorView& to = c.args.final_state ? c.args.final_state : c.args.state;
  if (x.tid() == GdnCall::kRows) h.from = gdn_state(c.args.state, s.slot, head, v_first);
  if (x.tid() == GdnCall::kRows + 1) h.to = gdn_state(to, s.slot, head, v_first);
  if (x.tid() != 0) return;
  const auto of_head = [&](const TensorView& t) {
    return static_cast<const float*>(t.data)[head * t.stride[0]];
  };
  const bool gate = c.decay_from == GdnDecayFrom::kGate;
  h.rate = gate ? math::exp(of_head(c.args.a_log)) : 0.0f;
  h.bias = gate ? of_head(c.args.dt_bias) : 0.0f;
  h.q_scale = *c.params.softmax_scale;
  h.l2_eps = c.params.l2_eps;
  h.chunk = c.params.chunk_size;
  h.k_dim = static_cast<int>(c.shape.k_dim);
  h.v_count = v_count;
  h.decay_from = c.decay_from;
  h.gated_beta = static_cast<bool>(c.args.b);
  h.normalize = c.params.normalize_qk;
}

// An f32, f16 or bf16: its bits, and what they mean. Apart, so that many loads may be under way
// before the first is looked at.
ATTEND_DEVICE uint32_t load_bits(const std::byte* p, DType dtype) {
  return dtype == DType::kF32 ? load_as<uint32_t>(p) : load_as<uint16_t>(p);
}
ATTEND_DEVICE float value_of(uint32_t bits, DType dtype) {
  if (dtype == DType::kF32) return std::bit_cast<float>(bits);
  const auto half = static_cast<uint16_t>(bits);
  return dtype == DType::kBF16 ? bf16_to_f32(half) : f16_to_f32(half);
}
ATTEND_DEVICE float load_activation(const std::byte* p, DType dtype) {
  return value_of(load_bits(p, dtype), dtype);
}
ATTEND_DEVICE void store_activation(std::byte* p, DType dtype, float x) {
  if (dtype == DType::kF32) {
    *reinterpret_cast<float*>(p) = x;
    return;
  }
  *reinterpret_cast<uint16_t*>(p) = dtype == DType::kBF16 ? f32_to_bf16(x) : f32_to_f16(x);
}
ATTEND_DEVICE float& state_at(const RowsView& state, int v, int k) {
  return reinterpret_cast<float*>(state.base)[v * state.row + k * state.dim];
}
ATTEND_DEVICE uint32_t bits_at(const RowsView& rows, int64_t i, int64_t d) {
  return load_bits(rows.at(i, 0) + d * rows.dim * size_bytes(rows.dtype), rows.dtype);
}
ATTEND_DEVICE float element_at(const RowsView& rows, int64_t i, int64_t d) {
  return value_of(bits_at(rows, i, d), rows.dtype);
}

}  // namespace attend::gpu
