#pragma once
// What one request's lengths and positions must be, as ops/check/indices.cc and pages.cc say it in
// words. An index is read only when those that lead to it are good, so that nothing is read outside
// a tensor and nothing overflows.
#include "attend/kernel.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/layout.h"

namespace attend::gpu {

ATTEND_DEVICE ErrorWord bad_index(ErrorCode code, ErrorArgument argument, int64_t position,
                                  int64_t value) {
  return {static_cast<int32_t>(code), static_cast<int32_t>(argument), position, value};
}

// Request b's two entries of a vector of cumulative lengths: the first of all is 0, none is below
// the one before it or over `total`, and no length is over `max` (0 = not told).
ATTEND_DEVICE ErrorWord bad_cumulative(const TensorView& cu, ErrorArgument argument, int64_t b,
                                       int64_t total, int64_t max) {
  const int64_t from = index_at(cu, b), to = index_at(cu, b + 1);
  if (b == 0 && from != 0) return bad_index(ErrorCode::kInvalidArgument, argument, b, from);
  if (from < 0 || from > total) return bad_index(ErrorCode::kOutOfRange, argument, b, from);
  if (to < from) return bad_index(ErrorCode::kInvalidArgument, argument, b + 1, to);
  if (to > total || (max > 0 && to - from > max))
    return bad_index(ErrorCode::kOutOfRange, argument, b + 1, to);
  return {};
}

// The checks of request b in their order; the first that fails stays.
class WordCheck {
 public:
  ATTEND_DEVICE WordCheck(const AttentionArgs& a, const AttentionParams& p, int64_t b)
      : a_(a), s_(a.seq), b_(b) {
    if (a.q && query_words() && (is_paged(a) || key_words()) && positions(p.mask) && is_paged(a))
      page_words();
  }
  ATTEND_DEVICE const ErrorWord& bad() const { return bad_; }

 private:
  // Positions further away than this would overflow sums of positions.
  static constexpr int64_t kFarthest = int64_t{1} << 48;

  ATTEND_DEVICE bool keep(const ErrorWord& word) {
    bad_ = word;
    return word.code == 0;
  }
  ATTEND_DEVICE bool within(const TensorView& t, ErrorArgument argument, int64_t least,
                            int64_t most) {
    if (!t) return true;
    const int64_t n = index_at(t, b_);
    return n >= least && n <= most ? true
                                   : keep(bad_index(ErrorCode::kOutOfRange, argument, b_, n));
  }
  ATTEND_DEVICE bool cumulative(const TensorView& cu, ErrorArgument argument, int64_t total,
                                int64_t max) {
    return !cu || keep(bad_cumulative(cu, argument, b_, total, max));
  }

  ATTEND_DEVICE bool query_words() {
    if (!cumulative(s_.cu_seqlens_q, ErrorArgument::kCuSeqlensQ, a_.q.dim(0), s_.max_seqlen_q))
      return false;
    const int64_t rows = s_.cu_seqlens_q ? length_at(s_.cu_seqlens_q, b_) : a_.q.dim(1);
    return within(s_.seqused_q, ErrorArgument::kSequsedQ, 0, rows);
  }

  // Of keys that are not in pages.
  ATTEND_DEVICE bool key_words() {
    if (!cumulative(s_.cu_seqlens_k, ErrorArgument::kCuSeqlensK, a_.k.dim(0), s_.max_seqlen_k))
      return false;
    const int64_t rows = s_.cu_seqlens_k ? length_at(s_.cu_seqlens_k, b_) : a_.k.dim(1);
    return within(s_.seqused_k, ErrorArgument::kSequsedK, 0, rows) &&
           within(s_.start, ErrorArgument::kStart, 0, rows) &&
           within(s_.end, ErrorArgument::kEnd, 0, rows);
  }

  ATTEND_DEVICE bool positions(const MaskSpec& m) {
    const auto near = [this](const TensorView& t) {
      return within(t, ErrorArgument::kNone, -kFarthest, kFarthest);
    };
    return near(m.q_start) && near(m.block_origin) && near(m.prefix_lens) && near(m.hole_starts) &&
           near(m.hole_ends);
  }

  ATTEND_DEVICE bool page_words() {
    if (s_.kv_indptr) {
      if (!cumulative(s_.kv_indptr, ErrorArgument::kKvIndptr, s_.kv_indices.dim(0), 0))
        return false;
      const bool none = length_at(s_.kv_indptr, b_) == 0;
      if (!within(s_.kv_last_page_len, ErrorArgument::kKvLastPageLen, none ? 0 : 1,
                  none ? 0 : a_.k.dim(1)))
        return false;
    }
    if (!cumulative(s_.cu_seqlens_k, ErrorArgument::kCuSeqlensK, INT64_MAX, s_.max_seqlen_k))
      return false;
    const int64_t room = table_keys(a_, b_), rows = query_rows(a_, b_);
    if (!within(s_.seqused_k, ErrorArgument::kSequsedK, 0, room + (a_.k_new ? rows : 0)) ||
        !within(s_.context_lens, ErrorArgument::kContextLens, 0, room))
      return false;
    const PagedKeys keys = paged_keys(a_, b_);
    if (keys.cached > room || (s_.max_seqlen_k > 0 && keys.total() > s_.max_seqlen_k))
      return keep(bad_index(ErrorCode::kOutOfRange, teller(), b_ + tells_by_sum(), told()));
    return agree(keys.total(), rows);
  }

  // The words that tell a request's keys tell the same.
  ATTEND_DEVICE bool agree(int64_t keys, int64_t rows) {
    const auto agrees = [&](const TensorView& t, ErrorArgument argument, int64_t at,
                            int64_t tells) {
      return !t || tells == keys ||
             keep(bad_index(ErrorCode::kInvalidArgument, argument, at, index_at(t, at)));
    };
    return agrees(s_.seqused_k, ErrorArgument::kSequsedK, b_, value(s_.seqused_k)) &&
           agrees(s_.cu_seqlens_k, ErrorArgument::kCuSeqlensK, b_ + 1,
                  s_.cu_seqlens_k ? length_at(s_.cu_seqlens_k, b_) : 0) &&
           agrees(s_.context_lens, ErrorArgument::kContextLens, b_, value(s_.context_lens) + rows);
  }
  ATTEND_DEVICE int64_t value(const TensorView& t) const { return t ? index_at(t, b_) : 0; }

  // Which word told the keys that there is no room for (paged_keys of ops/common/pages.h).
  ATTEND_DEVICE ErrorArgument teller() const {
    if (a_.k_new) return ErrorArgument::kContextLens;
    if (s_.seqused_k) return ErrorArgument::kSequsedK;
    if (s_.cu_seqlens_k) return ErrorArgument::kCuSeqlensK;
    return s_.context_lens ? ErrorArgument::kContextLens : ErrorArgument::kKvLastPageLen;
  }
  ATTEND_DEVICE bool tells_by_sum() const { return teller() == ErrorArgument::kCuSeqlensK; }
  ATTEND_DEVICE int64_t told() const {
    switch (teller()) {
      case ErrorArgument::kSequsedK: return index_at(s_.seqused_k, b_);
      case ErrorArgument::kCuSeqlensK: return index_at(s_.cu_seqlens_k, b_ + 1);
      case ErrorArgument::kContextLens: return index_at(s_.context_lens, b_);
      default: return index_at(s_.kv_last_page_len, b_);
    }
  }

  const AttentionArgs& a_;
  const SeqLayout& s_;
  const int64_t b_;
  ErrorWord bad_{};
};

}  // namespace attend::gpu
