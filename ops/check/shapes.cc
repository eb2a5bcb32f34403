#include <algorithm>
#include <string>

#include "ops/check/checker.h"
#include "ops/common/layout.h"

namespace attend {
namespace {

// Everything but the keys: q and out, and what the groups of query heads ask of kv_heads.
void check_queries(const Checker& c, const AttentionArgs& a) {
  const bool ragged = static_cast<bool>(a.seq.cu_seqlens_q);
  const int rank = ragged ? 3 : 4;
  c.rank("q", a.q, rank,
         ragged ? "[total_q, heads, head_dim], as cu_seqlens_q is given"
                : "[batch, seqlen_q, heads, head_dim]");
  c.rank("out", a.out, rank,
         ragged ? "[total_q, heads, v_dim], as cu_seqlens_q is given"
                : "[batch, seqlen_q, heads, v_dim]");
  c.dtype("q", a.q, {DType::kF32, DType::kF16, DType::kBF16});
  c.dtype("out", a.out, {a.q.dtype, DType::kF32});
  if (!ragged) c.dim("out", a.out, 0, a.q.dim(0), "batch of q");
  c.dim("out", a.out, rank - 3, a.q.dim(rank - 3), ragged ? "total_q of q" : "seqlen_q of q");
  c.dim("out", a.out, -2, a.q.dim(-2), "heads of q");
  if (a.q.dim(-1) < 1) throw_invalid(c.where(), "q head_dim is 0, expected 1 or more");
}

void check_layout(const Checker& c, const AttentionArgs& a, KeyForm keys) {
  const SeqLayout& s = a.seq;
  if (keys != KeyForm::kPages &&
      static_cast<bool>(s.cu_seqlens_q) != static_cast<bool>(s.cu_seqlens_k))
    throw_invalid(c.where(), std::string(s.cu_seqlens_q ? "cu_seqlens_k" : "cu_seqlens_q") +
                                 " is absent, expected it with " +
                                 (s.cu_seqlens_q ? "cu_seqlens_q" : "cu_seqlens_k"));
  if (s.cu_seqlens_q) {
    c.rank("cu_seqlens_q", s.cu_seqlens_q, 1, "[batch + 1]");
    c.dtype("cu_seqlens_q", s.cu_seqlens_q, {DType::kI32, DType::kI64});
    if (s.cu_seqlens_q.dim(0) < 1)
      throw_invalid(c.where(), "cu_seqlens_q dim 0 is 0, expected batch + 1");
    c.index("cu_seqlens_k", s.cu_seqlens_k, s.cu_seqlens_q.dim(0),
            "batch + 1, as cu_seqlens_q has");
  }
  for (int64_t max : {s.max_seqlen_q, s.max_seqlen_k})
    if (max < 0)
      throw_invalid(c.where(),
                    std::string(max == s.max_seqlen_q ? "max_seqlen_q" : "max_seqlen_k") + " is " +
                        str(max) + ", expected 0 (not told) or an upper bound");
}

// An upper bound below a length that a shape tells.
void check_bound(const char* where, const char* arg, int64_t max, int64_t length) {
  if (max > 0 && max < length)
    throw_out_of_range(
        where, std::string(arg) + " is " + str(max) + ", expected at least seqlen " + str(length));
}

// On a device nobody reads lengths here: what has a longest sequence in full tells its length, and
// the others must agree with it.
MaxLengths told_by_shapes(const AttentionArgs& a, const AttentionParams& p, MaxLengths longest) {
  const auto take = [](int64_t& length, const TensorView& t, int from_last, int64_t least) {
    if (length == 0 && t.rank >= from_last && t.dim(-from_last) >= least)
      length = t.dim(-from_last);
  };
  for (const TensorView* t : {&a.weights, &a.scores})
    take(longest.q, *t, 2, 1), take(longest.k, *t, 1, 1);
  if (is_paged(a)) take(longest.k, p.mask.kv_segment_ids, 1, 1);
  for (const TensorView* t : {&p.mask.keep, &p.bias})
    take(longest.q, *t, 2, 2), take(longest.k, *t, 1, 2);
  return longest;
}

}  // namespace

MaxLengths max_lengths(const AttentionArgs& a) {
  const SeqLayout& s = a.seq;
  MaxLengths longest{s.max_seqlen_q, s.max_seqlen_k};
  if (!s.cu_seqlens_q) longest.q = a.q.dim(1);
  if (!s.cu_seqlens_q && !is_paged(a)) longest.k = a.k.dim(1);
  if (a.q.device.type != DeviceType::kNative) return longest;  // contents are not read on the host
  const int64_t batch = call_shape(a).batch;
  if (s.cu_seqlens_q && longest.q == 0)
    for (int64_t b = 0; b < batch; ++b)
      longest.q = std::max(longest.q, length_at(s.cu_seqlens_q, b));
  if (longest.k == 0 && is_paged(a))
    for (int64_t b = 0; b < batch; ++b) longest.k = std::max(longest.k, paged_keys(a, b).total());
  if (longest.k == 0 && s.cu_seqlens_q && !is_paged(a))
    for (int64_t b = 0; b < batch; ++b)
      longest.k = std::max(longest.k, length_at(s.cu_seqlens_k, b));
  return longest;
}

void check_shapes(const char* where, const AttentionArgs& a, const AttentionParams& p,
                  KeyForm keys) {
  const Checker c(where);
  c.given("q", a.q, "a tensor");
  c.given("k", a.k, "a tensor");
  c.given("v", a.v, "a tensor");
  c.given("out", a.out, "a tensor");
  check_layout(c, a, keys);
  check_queries(c, a);
  check_keys(c, a, keys);

  const CallShape s = call_shape(a);
  const int64_t total_q = s.ragged ? a.q.dim(0) : a.q.dim(1);
  if (!s.ragged) check_bound(where, "max_seqlen_q", a.seq.max_seqlen_q, a.q.dim(1));
  if (!s.ragged && keys != KeyForm::kPages)
    check_bound(where, "max_seqlen_k", a.seq.max_seqlen_k, a.k.dim(1));
  c.index("seqused_q", a.seq.seqused_q, s.batch, "batch");  // before lengths are read
  c.index("seqused_k", a.seq.seqused_k, s.batch, "batch");
  MaxLengths longest = max_lengths(a);
  if (a.q.device.type != DeviceType::kNative) longest = told_by_shapes(a, p, longest);
  if (a.lse) {
    c.dtype("lse", a.lse, {DType::kF32});
    c.rank("lse", a.lse, s.ragged ? 2 : 3,
           s.ragged ? "[heads, total_q]" : "[batch, heads, seqlen_q]");
    if (!s.ragged) c.dim("lse", a.lse, 0, s.batch, "batch");
    c.dim("lse", a.lse, -2, s.heads, "heads of q");
    c.dim("lse", a.lse, -1, total_q, s.ragged ? "total_q of q" : "seqlen_q of q");
  }

  const MaskSpec& m = p.mask;
  c.index("q_start", m.q_start, s.batch, "batch");
  c.index("block_origin", m.block_origin, s.batch, "batch");
  c.index("prefix_lens", m.prefix_lens, s.batch, "batch");
  c.index("hole_starts", m.hole_starts, s.batch, "batch");
  c.index("hole_ends", m.hole_ends, s.batch, "batch");
  const auto segments = [&](const char* arg, const TensorView& t, bool packed, int64_t n,
                            const char* why) {
    if (!t) return;
    c.dtype(arg, t, {DType::kI32, DType::kI64});
    c.rank(arg, t, packed ? 1 : 2, packed ? "[total]" : "[batch, seqlen]");
    if (!packed) c.dim(arg, t, 0, s.batch, "batch");
    c.dim(arg, t, -1, n, why);
  };
  segments("q_segment_ids", m.q_segment_ids, s.ragged, total_q, "rows of q");
  // Pages have no rows of their own to be packed with: their ids stand by position.
  if (keys == KeyForm::kPages)
    segments("kv_segment_ids", m.kv_segment_ids, false, longest.k, "the longest sequence's keys");
  else
    segments("kv_segment_ids", m.kv_segment_ids, s.ragged, a.k.dim(s.ragged ? 0 : 1), "rows of k");

  const int64_t full[4] = {s.batch, s.heads, longest.q, longest.k};
  if (m.keep) {
    c.dtype("keep", m.keep, {DType::kBool});
    c.broadcast("keep", m.keep, full);
  }
  if (p.bias) {
    c.dtype("bias", p.bias, {DType::kF32, DType::kF16, DType::kBF16});
    c.broadcast("bias", p.bias, full);
  }
  const auto materialised = [&](const char* arg, const TensorView& t) {
    if (!t) return;
    c.rank(arg, t, 4, "[batch, heads, seqlen_q, seqlen_k]");
    c.dim(arg, t, 0, s.batch, "batch");
    c.dim(arg, t, 1, s.heads, "heads of q");
    c.dim(arg, t, 2, longest.q, "seqlen_q");
    c.dim(arg, t, 3, longest.k, "seqlen_k");
  };
  materialised("weights", a.weights);
  materialised("scores", a.scores);
  if (a.weights) c.dtype("weights", a.weights, {DType::kF32, a.q.dtype});
  if (a.scores) c.dtype("scores", a.scores, {DType::kF32});

  if (p.alibi_slopes) {
    c.dtype("alibi_slopes", p.alibi_slopes, {DType::kF32});
    if (p.alibi_slopes.rank == 2)
      c.dim("alibi_slopes", p.alibi_slopes, 0, s.batch, "batch");
    else
      c.rank("alibi_slopes", p.alibi_slopes, 1, "[heads], or 2 [batch, heads]");
    c.dim("alibi_slopes", p.alibi_slopes, -1, s.heads, "heads of q");
  }
  if (p.sinks) {
    c.dtype("sinks", p.sinks, {DType::kF32});
    if (p.sinks.rank != 2) c.rank("sinks", p.sinks, 1, "[heads], or 2 [heads, n]");
    c.dim("sinks", p.sinks, 0, s.heads, "heads of q");
  }
}

}  // namespace attend
