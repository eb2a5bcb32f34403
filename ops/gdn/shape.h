#pragma once
#include <cstdint>

#include "attend/gdn_params.h"
#include "ops/common/index.h"

// The reading of a gdn call that its checks and its kernels share.
namespace attend {

// The sizes of a call that has passed the operator's checks.
struct GdnShape {
  bool ragged = false;
  int64_t batch = 0, rows = 0;  // rows: seqlen, or total
  int64_t heads = 0, k_heads = 0, v_heads = 0, k_dim = 0, v_dim = 0;
  int64_t taps = 0, channels = 0;  // of the convolution; 0 = none

  ATTEND_HD int64_t k_head(int64_t h) const { return h / (heads / k_heads); }
  ATTEND_HD int64_t v_head(int64_t h) const { return h / (heads / v_heads); }
};

ATTEND_HD GdnShape gdn_shape(const GdnArgs& a, const GdnParams& p) {
  GdnShape s;
  const TensorView& lead = a.mixed_qkv ? a.mixed_qkv : a.q;
  s.ragged = static_cast<bool>(a.cu_seqlens);
  s.batch = s.ragged ? a.cu_seqlens.dim(0) - 1 : lead.dim(0);
  s.rows = lead.dim(s.ragged ? 0 : 1);
  s.heads = a.out.dim(-2);
  s.v_dim = a.out.dim(-1);
  if (!a.mixed_qkv) {
    s.k_heads = a.q.dim(-2);
    s.k_dim = a.q.dim(-1);
    s.v_heads = a.v.dim(-2);
    return s;
  }
  s.channels = a.mixed_qkv.dim(-1);
  s.taps = a.conv_weight.dim(-1);
  s.v_heads = p.v_heads > 0 ? p.v_heads : s.heads;
  const int64_t qk = (s.channels - s.v_heads * s.v_dim) / 2;
  const TensorView& state = a.state ? a.state : a.final_state;
  if (state) s.k_dim = state.dim(-1);
  s.k_heads = p.k_heads > 0 ? p.k_heads : s.k_dim > 0 ? qk / s.k_dim : 0;
  if (!state && s.k_heads > 0) s.k_dim = qk / s.k_heads;
  return s;
}

// One sequence of a call.
struct GdnSequence {
  int64_t b = 0;
  int64_t first = 0, len = 0;  // ragged: the first row in the packed tensors
  int64_t slot = 0;            // in state, final_state and conv_state
  bool padding = false;
};

ATTEND_HD GdnSequence gdn_sequence(const GdnArgs& a, const GdnParams& p, const GdnShape& shape,
                                   int64_t b) {
  GdnSequence s;
  s.b = s.slot = b;
  s.len = shape.rows;
  if (shape.ragged) {
    s.first = index_at(a.cu_seqlens, b);
    s.len = index_at(a.cu_seqlens, b + 1) - s.first;
  }
  if (a.state_indices) {
    s.slot = index_at(a.state_indices, b);
    s.padding = p.padding_slot >= 0 && s.slot == p.padding_slot;
  }
  return s;
}

}  // namespace attend
