#include "ops/check/indices.h"

#include <string>

#include "ops/common/layout.h"

namespace attend {
namespace {

// Positions further away than this would overflow sums of positions; no sequence is that long.
constexpr int64_t kFarthest = int64_t{1} << 48;

void check_value(const char* where, const char* arg, const TensorView& t, int64_t b, int64_t most,
                 const char* why) {
  if (!t) return;
  if (const int64_t n = index_at(t, b); n < 0 || n > most)
    out_of_range(where, at(arg, b) + " is " + std::to_string(n) + ", expected 0 to " +
                            std::to_string(most) + ", " + why);
}

// Where the rows of k and v are, which are not pages.
void check_key_rows(const char* where, const AttentionArgs& a, int64_t batch) {
  const SeqLayout& s = a.seq;
  if (s.cu_seqlens_k)
    check_cumulative(where, "cu_seqlens_k", s.cu_seqlens_k, a.k.dim(0), s.max_seqlen_k);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t rows =
        s.cu_seqlens_k ? index_at(s.cu_seqlens_k, b + 1) - index_at(s.cu_seqlens_k, b) : a.k.dim(1);
    check_value(where, "seqused_k", s.seqused_k, b, rows, "the rows of its sequence");
    check_value(where, "start", s.start, b, rows, "the rows of k");
    check_value(where, "end", s.end, b, rows, "the rows of k");
  }
}

}  // namespace

void check_cumulative(const char* where, const char* arg, const TensorView& cu, int64_t total,
                      int64_t max) {
  if (index_at(cu, 0) != 0)
    throw_invalid(where, at(arg, 0) + " is " + std::to_string(index_at(cu, 0)) + ", expected 0");
  for (int64_t b = 1; b < cu.dim(0); ++b) {
    const int64_t before = index_at(cu, b - 1), here = index_at(cu, b);
    if (here < before)
      throw_invalid(where, at(arg, b) + " is " + std::to_string(here) + ", expected at least " +
                               std::to_string(before) + ", the value before it");
    if (here > total)
      out_of_range(where, at(arg, b) + " is " + std::to_string(here) + ", expected at most " +
                              std::to_string(total) + ", the rows there are");
    if (max > 0 && here - before > max)
      out_of_range(where, "length " + std::to_string(here - before) + " of sequence " +
                              std::to_string(b - 1) + " in " + arg +
                              " is over the bound, expected at most max_seqlen " +
                              std::to_string(max));
  }
}

void check_indices(const char* where, const AttentionArgs& a, const AttentionParams& p) {
  if (!a.q) return check_slots(where, a);
  const SeqLayout& s = a.seq;
  const int64_t batch = call_shape(a).batch;
  if (s.cu_seqlens_q)
    check_cumulative(where, "cu_seqlens_q", s.cu_seqlens_q, a.q.dim(0), s.max_seqlen_q);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t rows =
        s.cu_seqlens_q ? index_at(s.cu_seqlens_q, b + 1) - index_at(s.cu_seqlens_q, b) : a.q.dim(1);
    check_value(where, "seqused_q", s.seqused_q, b, rows, "the rows of its sequence");
  }
  if (!is_paged(a)) check_key_rows(where, a, batch);
  const auto position = [&](const char* arg, const TensorView& t) {
    if (!t) return;
    for (int64_t b = 0; b < batch; ++b)
      if (const int64_t x = index_at(t, b); x > kFarthest || x < -kFarthest)
        out_of_range(where,
                     at(arg, b) + " is " + std::to_string(x) + ", expected a position within 2^48");
  };
  position("q_start", p.mask.q_start);
  position("block_origin", p.mask.block_origin);
  position("prefix_lens", p.mask.prefix_lens);
  position("hole_starts", p.mask.hole_starts);
  position("hole_ends", p.mask.hole_ends);
  if (is_paged(a)) check_pages(where, a, p);
}

}  // namespace attend
