#pragma once
#include <cstddef>
#include <cstdint>

#include "attend/kernel.h"
#include "ops/common/index.h"
#include "ops/common/mask.h"
#include "ops/common/pages.h"

// Where the rows of one sequence are and what its mask means: the reading of a call that every
// native kernel shares. Arguments have passed the operator's checks, so that nothing here can fail.
namespace attend {

ATTEND_HD std::byte* element(const TensorView& t, int64_t offset) {
  return static_cast<std::byte*>(t.data) + offset * size_bytes(t.dtype);
}

// Whether `part` is the first elements of the rows of `whole`, as MLA's values are of its keys.
ATTEND_HD bool is_prefix(const TensorView& part, const TensorView& whole) {
  if (part.data != whole.data || part.rank != whole.rank || part.dtype != whole.dtype) return false;
  for (int i = 0; i < part.rank; ++i)
    if (part.step(i) != whole.step(i) ||
        (i + 1 < part.rank ? part.dim(i) != whole.dim(i) : part.dim(i) > whole.dim(i)))
      return false;
  return true;
}

// The rows of one sequence in one tensor: row i of head h starts at base + i * row + h * head, in
// elements.
struct RowsView {
  std::byte* base = nullptr;
  int64_t row = 0, head = 0, dim = 0;
  DType dtype = DType::kF32;

  ATTEND_HD std::byte* at(int64_t i, int64_t h) const {
    return base + (i * row + h * head) * size_bytes(dtype);
  }
};

// A tensor of rank 0..4 right-aligned to [batch, heads, seqlen_q, seqlen_k]; dimensions of size 1
// do not move.
struct BroadcastView {
  const std::byte* base = nullptr;
  int64_t b = 0, h = 0, i = 0, j = 0;
  DType dtype = DType::kBool;

  BroadcastView() = default;
  ATTEND_HD explicit BroadcastView(const TensorView& t)
      : base(static_cast<const std::byte*>(t.data)),
        b(step(t, 4)),
        h(step(t, 3)),
        i(step(t, 2)),
        j(step(t, 1)),
        dtype(t.dtype) {}
  ATTEND_HD explicit operator bool() const { return base != nullptr; }
  ATTEND_HD const std::byte* at(int64_t batch, int64_t head, int64_t row) const {
    return base + (batch * b + head * h + row * i) * size_bytes(dtype);
  }

 private:
  ATTEND_HD static int64_t step(const TensorView& t, int from_right) {
    return t.rank < from_right || t.dim(-from_right) == 1 ? 0 : t.step(-from_right);
  }
};

// The sizes of a call.
struct CallShape {
  bool ragged = false;
  int64_t batch = 0, heads = 0, kv_heads = 0, head_dim = 0, v_dim = 0;
  ATTEND_HD int64_t group() const { return kv_heads == 0 ? 1 : heads / kv_heads; }
};

ATTEND_HD CallShape call_shape(const AttentionArgs& a) {
  CallShape s;
  s.ragged = static_cast<bool>(a.seq.cu_seqlens_q);
  s.batch = s.ragged ? a.seq.cu_seqlens_q.dim(0) - 1 : a.q.dim(0);
  s.heads = a.q.dim(-2);
  s.kv_heads = a.k.dim(-2);
  s.head_dim = a.q.dim(-1);
  s.v_dim = a.v.dim(-1);
  return s;
}

// One sequence of the batch: its rows in use, its keys in use and its mask.
struct Sequence {
  int64_t b = 0;
  int64_t q_first = 0, q_len = 0;  // ragged: the first row in the packed tensors
  int64_t k_first = 0, k_len = 0;
  int64_t k_cached = 0;  // of these, in k and v; the rest are the call's own rows
  RowMask mask;
};

ATTEND_HD void place_keys(const AttentionArgs& a, Sequence& s) {
  if (is_paged(a)) {
    const PagedKeys keys = paged_keys(a, s.b);
    s.k_len = keys.total();
    s.k_cached = keys.cached;
    return;
  }
  if (a.seq.cu_seqlens_k) {
    s.k_first = index_at(a.seq.cu_seqlens_k, s.b);
    s.k_len = index_at(a.seq.cu_seqlens_k, s.b + 1) - s.k_first;
  } else {
    s.k_len = a.k.dim(1);
  }
  if (a.seq.seqused_k) s.k_len = index_at(a.seq.seqused_k, s.b);
  if (a.seq.end) s.k_len = index_at(a.seq.end, s.b);
  if (a.seq.start) s.mask.first_key = index_at(a.seq.start, s.b);
  s.k_cached = s.k_len;
}

ATTEND_HD Sequence sequence(const AttentionArgs& a, const AttentionParams& p, int64_t b) {
  Sequence s;
  s.b = b;
  if (a.seq.cu_seqlens_q) s.q_first = index_at(a.seq.cu_seqlens_q, b);
  s.q_len = query_rows(a, b);
  place_keys(a, s);

  const MaskSpec& m = p.mask;
  s.mask.seqlen_k = s.k_len;
  s.mask.d = m.q_start                          ? index_at(m.q_start, b)
             : m.diagonal == Diagonal::kTopLeft ? 0
                                                : s.k_len - s.q_len;
  s.mask.causal = m.causal;
  s.mask.block_size = m.causal ? 0 : m.block_size;
  s.mask.block_origin = m.block_origin ? index_at(m.block_origin, b) : 0;
  s.mask.window_left = m.window_left;
  s.mask.window_right = m.window_right;
  s.mask.has_prefix = static_cast<bool>(m.prefix_lens);
  if (m.prefix_lens) s.mask.prefix = index_at(m.prefix_lens, b);
  if (m.hole_starts) {
    s.mask.hole_begin = index_at(m.hole_starts, b);
    s.mask.hole_end = index_at(m.hole_ends, b);
  }
  return s;
}

// Rows of sequence s in q, k, v or out; first is s.q_first or s.k_first.
ATTEND_HD RowsView rows_of(const TensorView& t, int64_t b, int64_t first) {
  if (t.rank == 3)
    return {element(t, first * t.stride[0]), t.stride[0], t.stride[1], t.stride[2], t.dtype};
  return {element(t, b * t.stride[0]), t.stride[1], t.stride[2], t.stride[3], t.dtype};
}

// lse of sequence s: [batch, heads, seqlen_q] or [heads, total_q], read as rows of one element.
ATTEND_HD RowsView lse_rows_of(const TensorView& t, int64_t b, int64_t first) {
  if (t.rank == 2) return {element(t, first * t.stride[1]), t.stride[1], t.stride[0], 0, t.dtype};
  return {element(t, b * t.stride[0]), t.stride[2], t.stride[1], 0, t.dtype};
}

// Segment ids of sequence s: [batch, seqlen] or [total], read from `first` on.
ATTEND_HD IndexVector ids_of(const TensorView& t, int64_t b, int64_t first) {
  return {element(t, t.rank == 2 ? b * t.stride[0] : first * t.stride[0]),
          t.rank == 2 ? t.stride[1] : t.stride[0], t.dtype == DType::kI64};
}

ATTEND_HD float alibi_slope(const TensorView& t, int64_t b, int64_t h) {
  if (!t) return 0.0f;
  return static_cast<const float*>(
      t.data)[t.rank == 1 ? h * t.stride[0] : b * t.stride[0] + h * t.stride[1]];
}

// Of one sequence and kv head: a scalar, [kv_heads] or [batch, kv_heads]; absent is 1.
ATTEND_HD float descale_of(const TensorView& t, int64_t b, int64_t kv_head) {
  if (!t) return 1.0f;
  const auto* values = static_cast<const float*>(t.data);
  if (t.rank == 0 || t.num_elements() == 1) return values[0];
  return t.rank == 1 ? values[kv_head * t.stride[0]]
                     : values[b * t.stride[0] + kv_head * t.stride[1]];
}

ATTEND_HD int64_t sink_count(const TensorView& t) { return !t ? 0 : t.rank == 1 ? 1 : t.dim(1); }
ATTEND_HD float sink_logit(const TensorView& t, int64_t h, int64_t n) {
  return static_cast<const float*>(t.data)[h * t.stride[0] + (t.rank == 1 ? 0 : n * t.stride[1])];
}

}  // namespace attend
