#pragma once
// What the index tensors of one request must hold (contract 6): native asks before a call, devices
// in a kernel of their own. An index is read only when those that lead to it are good, so that
// nothing is read outside a tensor and nothing overflows. The words are in ops/check/index_words.
#include <cstdint>
#include <initializer_list>

#include "attend/kernel.h"
#include "ops/common/layout.h"

namespace attend {

ATTEND_HD ErrorWord bad_index(ErrorCode code, ErrorArgument argument, int64_t position,
                              int64_t value, ErrorRule rule, int64_t bound = 0, int64_t told = 0) {
  ErrorWord word;
  word.code = static_cast<int32_t>(code);
  word.argument = static_cast<int32_t>(argument);
  word.position = position;
  word.value = value;
  word.rule = static_cast<int32_t>(rule);
  word.bound = bound;
  word.told = told;
  return word;
}

// Of a vector of cumulative lengths: its first entry, which is there without any request, too.
ATTEND_HD ErrorWord bad_start(const TensorView& cu, ErrorArgument argument) {
  if (!cu || index_at(cu, 0) == 0) return {};
  return bad_index(ErrorCode::kInvalidArgument, argument, 0, index_at(cu, 0), ErrorRule::kZero);
}

// Request b's two entries of a vector of cumulative lengths: the first of all is 0, none is below
// the one before it or over `total`, and no length is over `max` (0 = not told).
ATTEND_HD ErrorWord bad_cumulative(const TensorView& cu, ErrorArgument argument, int64_t b,
                                   int64_t total, int64_t max) {
  const int64_t from = index_at(cu, b), to = index_at(cu, b + 1);
  const auto invalid = ErrorCode::kInvalidArgument, range = ErrorCode::kOutOfRange;
  if (b == 0 && from != 0) return bad_start(cu, argument);
  if (from < 0 || from > total)  // as the request before this one says
    return bad_index(range, argument, b, from, ErrorRule::kWithinRows, total);
  if (to < from) return bad_index(invalid, argument, b + 1, to, ErrorRule::kRising, from);
  if (to > total) return bad_index(range, argument, b + 1, to, ErrorRule::kWithinRows, total);
  if (max > 0 && to - from > max)
    return bad_index(range, argument, b + 1, to, ErrorRule::kLength, max, to - from);
  return {};
}

// The most rows and keys that a sequence may have by what is told for each of them: masks, biases,
// weights and scores. Where lengths stand in index tensors, devices learn of it here alone; native
// refuses such a tensor by its shape.
struct MostByShapes {
  int64_t q = INT64_MAX, k = INT64_MAX;

  MostByShapes() = default;
  MostByShapes(const AttentionArgs& a, const AttentionParams& p) {  // asked on the host
    const auto take = [](int64_t& most, const TensorView& t, int from_last, bool spreads) {
      if (t.rank < from_last || (spreads && t.dim(-from_last) == 1)) return;
      most = t.dim(-from_last) < most ? t.dim(-from_last) : most;
    };
    for (const TensorView* t : {&a.weights, &a.scores})
      take(q, *t, 2, false), take(k, *t, 1, false);
    for (const TensorView* t : {&p.mask.keep, &p.bias}) take(q, *t, 2, true), take(k, *t, 1, true);
    if (is_paged(a)) take(k, p.mask.kv_segment_ids, 1, false);
  }
};

// Of a row that is stored: its slot is within the pages. Negative ones are not kept.
ATTEND_HD ErrorWord bad_slot(const AttentionArgs& a, int64_t token) {
  const int64_t slot = index_at(a.seq.slot_mapping, token), slots = a.k.dim(0) * a.k.dim(1);
  if (slot < slots) return {};
  return bad_index(ErrorCode::kOutOfRange, ErrorArgument::kSlotMapping, token, slot,
                   ErrorRule::kSlot, slots);
}
// Of a slot that the row or sequence at `other` has, too.
ATTEND_HD ErrorWord taken_slot(ErrorArgument argument, int64_t position, int64_t slot,
                               int64_t other) {
  return bad_index(ErrorCode::kInvalidArgument, argument, position, slot, ErrorRule::kOwnSlot, 0,
                   other);
}

// The checks of request b in their order; the first that fails stays.
class WordCheck {
 public:
  ATTEND_HD WordCheck(const AttentionArgs& a, const AttentionParams& p, int64_t b,
                      const MostByShapes& most)
      : a_(a), s_(a.seq), b_(b), most_(most) {
    if (a.q && query_words() && (is_paged(a) || key_words()) && positions(p.mask) && is_paged(a))
      page_words();
  }
  ATTEND_HD const ErrorWord& bad() const { return bad_; }

 private:
  // Positions further away than this would overflow sums of positions.
  static constexpr int64_t kFarthest = int64_t{1} << 48;

  ATTEND_HD bool keep(const ErrorWord& word) {
    bad_ = word;
    return word.code == 0;
  }
  // `bound` is the most where the rule tells the range by it.
  ATTEND_HD bool within(const TensorView& t, ErrorArgument argument, int64_t least, int64_t most,
                        ErrorRule rule) {
    if (!t) return true;
    const int64_t n = index_at(t, b_);
    if (n >= least && n <= most) return true;
    return keep(bad_index(ErrorCode::kOutOfRange, argument, b_, n, rule, most));
  }
  ATTEND_HD bool cumulative(const TensorView& cu, ErrorArgument argument, int64_t total,
                            int64_t max) {
    return !cu || keep(bad_cumulative(cu, argument, b_, total, max));
  }

  // A length that an index tells is not over what shapes tell.
  ATTEND_HD bool shaped(ErrorArgument argument, int64_t at, int64_t length, int64_t most) {
    return length <= most || keep(bad_index(ErrorCode::kOutOfRange, argument, at, length,
                                            ErrorRule::kShapes, most, length));
  }

  ATTEND_HD bool query_words() {
    if (!cumulative(s_.cu_seqlens_q, ErrorArgument::kCuSeqlensQ, a_.q.dim(0), s_.max_seqlen_q))
      return false;
    const int64_t rows = s_.cu_seqlens_q ? length_at(s_.cu_seqlens_q, b_) : a_.q.dim(1);
    if (s_.cu_seqlens_q && !shaped(ErrorArgument::kCuSeqlensQ, b_ + 1, rows, most_.q)) return false;
    return within(s_.seqused_q, ErrorArgument::kSequsedQ, 0, rows, ErrorRule::kSequenceRows);
  }

  // Of keys that are not in pages.
  ATTEND_HD bool key_words() {
    if (!cumulative(s_.cu_seqlens_k, ErrorArgument::kCuSeqlensK, a_.k.dim(0), s_.max_seqlen_k))
      return false;
    const int64_t rows = s_.cu_seqlens_k ? length_at(s_.cu_seqlens_k, b_) : a_.k.dim(1);
    if (s_.cu_seqlens_k && !shaped(ErrorArgument::kCuSeqlensK, b_ + 1, rows, most_.k)) return false;
    return within(s_.seqused_k, ErrorArgument::kSequsedK, 0, rows, ErrorRule::kSequenceRows) &&
           within(s_.start, ErrorArgument::kStart, 0, rows, ErrorRule::kKeyRows) &&
           within(s_.end, ErrorArgument::kEnd, 0, rows, ErrorRule::kKeyRows);
  }

  ATTEND_HD bool positions(const MaskSpec& m) {
    const auto near = [this](const TensorView& t, ErrorArgument argument) {
      return within(t, argument, -kFarthest, kFarthest, ErrorRule::kPosition);
    };
    return near(m.q_start, ErrorArgument::kQStart) &&
           near(m.block_origin, ErrorArgument::kBlockOrigin) &&
           near(m.prefix_lens, ErrorArgument::kPrefixLens) &&
           near(m.hole_starts, ErrorArgument::kHoleStarts) &&
           near(m.hole_ends, ErrorArgument::kHoleEnds);
  }

  ATTEND_HD bool page_words() {
    if (s_.kv_indptr) {
      if (!cumulative(s_.kv_indptr, ErrorArgument::kKvIndptr, s_.kv_indices.dim(0), 0))
        return false;
      const bool none = length_at(s_.kv_indptr, b_) == 0;
      if (!within(s_.kv_last_page_len, ErrorArgument::kKvLastPageLen, none ? 0 : 1,
                  none ? 0 : a_.k.dim(1), none ? ErrorRule::kNoPage : ErrorRule::kPageSize))
        return false;
    }
    if (!cumulative(s_.cu_seqlens_k, ErrorArgument::kCuSeqlensK, INT64_MAX, s_.max_seqlen_k))
      return false;
    const int64_t room = table_keys(a_, b_), rows = query_rows(a_, b_);
    const int64_t own = a_.k_new ? rows : 0;
    const ErrorRule table = own > 0 ? ErrorRule::kTableAndRows : ErrorRule::kTable;
    if (!within(s_.seqused_k, ErrorArgument::kSequsedK, 0, room + own, table) ||
        !within(s_.context_lens, ErrorArgument::kContextLens, 0, room, table))
      return false;
    const PagedKeys keys = paged_keys(a_, b_);
    if (keys.cached > room) return keep(too_many(ErrorRule::kCachedKeys, room, keys.cached));
    if (s_.max_seqlen_k > 0 && keys.total() > s_.max_seqlen_k)
      return keep(too_many(ErrorRule::kMaxSeqlenK, s_.max_seqlen_k, keys.total()));
    return agree(keys.total(), rows) &&
           shaped(teller(), b_ + tells_by_sum(), keys.total(), most_.k);
  }
  ATTEND_HD ErrorWord too_many(ErrorRule rule, int64_t most, int64_t keys) const {
    return bad_index(ErrorCode::kOutOfRange, teller(), b_ + tells_by_sum(), told(), rule, most,
                     keys);
  }

  // The words that tell a request's keys tell the same.
  ATTEND_HD bool agree(int64_t keys, int64_t rows) {
    const auto agrees = [&](const TensorView& t, ErrorArgument argument, int64_t at,
                            int64_t tells) {
      return !t || tells == keys ||
             keep(bad_index(ErrorCode::kInvalidArgument, argument, at, index_at(t, at),
                            ErrorRule::kSameKeys, keys, tells));
    };
    return agrees(s_.seqused_k, ErrorArgument::kSequsedK, b_, value(s_.seqused_k)) &&
           agrees(s_.cu_seqlens_k, ErrorArgument::kCuSeqlensK, b_ + 1,
                  s_.cu_seqlens_k ? length_at(s_.cu_seqlens_k, b_) : 0) &&
           agrees(s_.context_lens, ErrorArgument::kContextLens, b_, value(s_.context_lens) + rows);
  }
  ATTEND_HD int64_t value(const TensorView& t) const { return t ? index_at(t, b_) : 0; }

  // Which word told the keys that there is no room for (paged_keys of ops/common/pages.h).
  ATTEND_HD ErrorArgument teller() const {
    if (a_.k_new) return ErrorArgument::kContextLens;
    if (s_.seqused_k) return ErrorArgument::kSequsedK;
    if (s_.cu_seqlens_k) return ErrorArgument::kCuSeqlensK;
    return s_.context_lens ? ErrorArgument::kContextLens : ErrorArgument::kKvLastPageLen;
  }
  ATTEND_HD bool tells_by_sum() const { return teller() == ErrorArgument::kCuSeqlensK; }
  ATTEND_HD int64_t told() const {
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
  const MostByShapes& most_;
  ErrorWord bad_{};
};

}  // namespace attend
