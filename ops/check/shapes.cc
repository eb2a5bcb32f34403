#include <algorithm>
#include <initializer_list>
#include <string>

#include "ops/checks.h"
#include "ops/common/layout.h"

namespace attend {
namespace {

std::string str(int64_t n) { return std::to_string(n); }

// Checks of one call, which all begin with the same words.
class Checker {
 public:
  explicit Checker(const char* where) : where_(where) {}

  void rank(const char* arg, const TensorView& t, int want, const char* shape) const {
    if (t.rank != want)
      throw_invalid(where_, std::string(arg) + " rank is " + str(t.rank) + ", expected " +
                                str(want) + " " + shape);
  }
  void dim(const char* arg, const TensorView& t, int i, int64_t want, const char* why) const {
    if (t.dim(i) != want)
      throw_invalid(where_, std::string(arg) + " dim " + str(i < 0 ? t.rank + i : i) + " is " +
                                str(t.dim(i)) + ", expected " + str(want) + " (" + why + ")");
  }
  void dtype(const char* arg, const TensorView& t, std::initializer_list<DType> want,
             const char* why = "") const {
    if (std::find(want.begin(), want.end(), t.dtype) != want.end()) return;
    std::string names;
    for (DType d : want)
      if (names != name(d)) names += (names.empty() ? "" : " or ") + std::string(name(d));
    throw_invalid(where_,
                  std::string(arg) + " dtype is " + name(t.dtype) + ", expected " + names + why);
  }
  void given(const char* arg, const TensorView& t, const char* why) const {
    if (!t) throw_invalid(where_, std::string(arg) + " is absent, expected " + why);
  }

  // An optional index vector of n elements.
  void index(const char* arg, const TensorView& t, int64_t n, const char* why) const {
    if (!t) return;
    rank(arg, t, 1, "[batch]");
    dtype(arg, t, {DType::kI32, DType::kI64});
    dim(arg, t, 0, n, why);
  }

  // Right-aligned to [batch, heads, seqlen_q, seqlen_k], each dimension 1 or full.
  void broadcast(const char* arg, const TensorView& t, const int64_t (&full)[4]) const {
    static constexpr const char* kNames[4] = {"batch", "heads", "seqlen_q", "seqlen_k"};
    if (t.rank > 4) rank(arg, t, 4, "[batch, heads, seqlen_q, seqlen_k] or less");
    for (int r = 0; r < t.rank; ++r) {
      const int64_t got = t.dim(-1 - r), want = full[3 - r];
      if (got != 1 && got != want)
        throw_invalid(where_, std::string(arg) + " dim " + str(t.rank - 1 - r) + " is " + str(got) +
                                  ", expected 1 or " + str(want) + " (" + kNames[3 - r] + ")");
    }
  }

 private:
  const char* where_;
};

void check_qkv(const Checker& c, const char* where, const AttentionArgs& a) {
  const bool ragged = static_cast<bool>(a.seq.cu_seqlens_q);
  const int rank = ragged ? 3 : 4;
  c.rank("q", a.q, rank,
         ragged ? "[total_q, heads, head_dim], as cu_seqlens_q is given"
                : "[batch, seqlen_q, heads, head_dim]");
  c.rank("k", a.k, rank,
         ragged ? "[total_k, kv_heads, head_dim], as cu_seqlens_q is given"
                : "[batch, seqlen_k, kv_heads, head_dim]");
  c.rank("v", a.v, rank,
         ragged ? "[total_k, kv_heads, v_dim], as cu_seqlens_q is given"
                : "[batch, seqlen_k, kv_heads, v_dim]");
  c.rank("out", a.out, rank,
         ragged ? "[total_q, heads, v_dim], as cu_seqlens_q is given"
                : "[batch, seqlen_q, heads, v_dim]");
  c.dtype("q", a.q, {DType::kF32, DType::kF16, DType::kBF16});
  c.dtype("k", a.k, {a.q.dtype}, " like q");
  c.dtype("v", a.v, {a.q.dtype}, " like q");
  c.dtype("out", a.out, {a.q.dtype, DType::kF32});
  c.dim("k", a.k, -1, a.q.dim(-1), "head_dim of q");
  if (!ragged) {
    c.dim("k", a.k, 0, a.q.dim(0), "batch of q");
    c.dim("v", a.v, 0, a.q.dim(0), "batch of q");
  }
  c.dim("v", a.v, rank - 3, a.k.dim(rank - 3), ragged ? "total_k of k" : "seqlen_k of k");
  c.dim("v", a.v, -2, a.k.dim(-2), "kv_heads of k");
  if (!ragged) c.dim("out", a.out, 0, a.q.dim(0), "batch of q");
  c.dim("out", a.out, rank - 3, a.q.dim(rank - 3), ragged ? "total_q of q" : "seqlen_q of q");
  c.dim("out", a.out, -2, a.q.dim(-2), "heads of q");
  c.dim("out", a.out, -1, a.v.dim(-1), "v_dim of v");
  const int64_t heads = a.q.dim(-2), kv_heads = a.k.dim(-2);
  if (kv_heads == 0 ? heads != 0 : heads % kv_heads != 0)
    throw_invalid(where, "q heads is " + str(heads) + ", expected a multiple of kv_heads of k, " +
                             str(kv_heads));
  if (a.q.dim(-1) < 1) throw_invalid(where, "q head_dim is 0, expected 1 or more");
  if (a.v.dim(-1) < 1) throw_invalid(where, "v v_dim is 0, expected 1 or more");
}

void check_layout(const Checker& c, const AttentionArgs& a, const char* where) {
  const SeqLayout& s = a.seq;
  if (static_cast<bool>(s.cu_seqlens_q) != static_cast<bool>(s.cu_seqlens_k))
    throw_invalid(where, std::string(s.cu_seqlens_q ? "cu_seqlens_k" : "cu_seqlens_q") +
                             " is absent, expected it with " +
                             (s.cu_seqlens_q ? "cu_seqlens_q" : "cu_seqlens_k"));
  if (s.cu_seqlens_q) {
    c.rank("cu_seqlens_q", s.cu_seqlens_q, 1, "[batch + 1]");
    c.dtype("cu_seqlens_q", s.cu_seqlens_q, {DType::kI32, DType::kI64});
    if (s.cu_seqlens_q.dim(0) < 1)
      throw_invalid(where, "cu_seqlens_q dim 0 is 0, expected batch + 1");
    c.index("cu_seqlens_k", s.cu_seqlens_k, s.cu_seqlens_q.dim(0),
            "batch + 1, as cu_seqlens_q has");
  }
  for (int64_t max : {s.max_seqlen_q, s.max_seqlen_k})
    if (max < 0)
      throw_invalid(where, std::string(max == s.max_seqlen_q ? "max_seqlen_q" : "max_seqlen_k") +
                               " is " + str(max) + ", expected 0 (not told) or an upper bound");
}

}  // namespace

MaxLengths max_lengths(const AttentionArgs& a) {
  if (!a.seq.cu_seqlens_q) return {a.q.dim(1), a.k.dim(1)};
  MaxLengths longest{a.seq.max_seqlen_q, a.seq.max_seqlen_k};
  if (a.q.device.type != DeviceType::kNative) return longest;  // contents are not read on the host
  const auto scan = [](const TensorView& cu) {
    int64_t most = 0;
    for (int64_t b = 0; b + 1 < cu.dim(0); ++b)
      most = std::max(most, index_at(cu, b + 1) - index_at(cu, b));
    return most;
  };
  if (longest.q == 0) longest.q = scan(a.seq.cu_seqlens_q);
  if (longest.k == 0) longest.k = scan(a.seq.cu_seqlens_k);
  return longest;
}

void check_shapes(const char* where, const AttentionArgs& a, const AttentionParams& p) {
  const Checker c(where);
  c.given("q", a.q, "a tensor");
  c.given("k", a.k, "a tensor");
  c.given("v", a.v, "a tensor");
  c.given("out", a.out, "a tensor");
  check_layout(c, a, where);
  check_qkv(c, where, a);

  const CallShape s = call_shape(a);
  const int64_t total_q = s.ragged ? a.q.dim(0) : a.q.dim(1);
  const int64_t total_k = s.ragged ? a.k.dim(0) : a.k.dim(1);
  if (a.lse) {
    c.dtype("lse", a.lse, {DType::kF32});
    c.rank("lse", a.lse, s.ragged ? 2 : 3,
           s.ragged ? "[heads, total_q]" : "[batch, heads, seqlen_q]");
    if (!s.ragged) c.dim("lse", a.lse, 0, s.batch, "batch");
    c.dim("lse", a.lse, -2, s.heads, "heads of q");
    c.dim("lse", a.lse, -1, total_q, s.ragged ? "total_q of q" : "seqlen_q of q");
  }
  c.index("seqused_q", a.seq.seqused_q, s.batch, "batch");
  c.index("seqused_k", a.seq.seqused_k, s.batch, "batch");

  const MaskSpec& m = p.mask;
  c.index("q_start", m.q_start, s.batch, "batch");
  c.index("block_origin", m.block_origin, s.batch, "batch");
  c.index("prefix_lens", m.prefix_lens, s.batch, "batch");
  c.index("hole_starts", m.hole_starts, s.batch, "batch");
  c.index("hole_ends", m.hole_ends, s.batch, "batch");
  const auto segments = [&](const char* arg, const TensorView& t, int64_t n, const char* why) {
    if (!t) return;
    c.dtype(arg, t, {DType::kI32, DType::kI64});
    c.rank(arg, t, s.ragged ? 1 : 2, s.ragged ? "[total]" : "[batch, seqlen]");
    if (!s.ragged) c.dim(arg, t, 0, s.batch, "batch");
    c.dim(arg, t, -1, n, why);
  };
  segments("q_segment_ids", m.q_segment_ids, total_q, "rows of q");
  segments("kv_segment_ids", m.kv_segment_ids, total_k, "rows of k");

  const MaxLengths longest = max_lengths(a);
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
