#include <string>

#include "ops/checks.h"
#include "ops/common/layout.h"

namespace attend {
namespace {

// Positions further away than this would overflow sums of positions; no sequence is that long.
constexpr int64_t kFarthest = int64_t{1} << 48;

std::string at(const char* arg, int64_t i) {
  return std::string(arg) + "[" + std::to_string(i) + "]";
}

[[noreturn]] void out_of_range(const char* where, const std::string& what) {
  throw Error(ErrorCode::kOutOfRange, std::string(where) + ": " + what);
}

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

}  // namespace

void check_indices(const char* where, const AttentionArgs& a, const AttentionParams& p) {
  const SeqLayout& s = a.seq;
  const CallShape shape = call_shape(a);
  if (s.cu_seqlens_q) {
    check_cumulative(where, "cu_seqlens_q", s.cu_seqlens_q, a.q.dim(0), s.max_seqlen_q);
    check_cumulative(where, "cu_seqlens_k", s.cu_seqlens_k, a.k.dim(0), s.max_seqlen_k);
  } else {
    const auto bound = [&](const char* arg, int64_t max, int64_t length) {
      if (max > 0 && max < length)
        out_of_range(where, std::string(arg) + " is " + std::to_string(max) +
                                ", expected at least seqlen " + std::to_string(length));
    };
    bound("max_seqlen_q", s.max_seqlen_q, a.q.dim(1));
    bound("max_seqlen_k", s.max_seqlen_k, a.k.dim(1));
  }
  const auto used = [&](const char* arg, const TensorView& t, const TensorView& cu, int64_t dense) {
    if (!t) return;
    for (int64_t b = 0; b < shape.batch; ++b) {
      const int64_t capacity = cu ? index_at(cu, b + 1) - index_at(cu, b) : dense;
      if (const int64_t n = index_at(t, b); n < 0 || n > capacity)
        out_of_range(where, at(arg, b) + " is " + std::to_string(n) + ", expected 0 to " +
                                std::to_string(capacity) + ", the rows of its sequence");
    }
  };
  used("seqused_q", s.seqused_q, s.cu_seqlens_q, shape.ragged ? 0 : a.q.dim(1));
  used("seqused_k", s.seqused_k, s.cu_seqlens_k, shape.ragged ? 0 : a.k.dim(1));
  const auto position = [&](const char* arg, const TensorView& t) {
    if (!t) return;
    for (int64_t b = 0; b < shape.batch; ++b)
      if (const int64_t x = index_at(t, b); x > kFarthest || x < -kFarthest)
        out_of_range(where,
                     at(arg, b) + " is " + std::to_string(x) + ", expected a position within 2^48");
  };
  position("q_start", p.mask.q_start);
  position("block_origin", p.mask.block_origin);
  position("prefix_lens", p.mask.prefix_lens);
  position("hole_starts", p.mask.hole_starts);
  position("hole_ends", p.mask.hole_ends);
}

}  // namespace attend
