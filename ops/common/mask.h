#pragma once
#include <cstdint>

#include "ops/common/portable.h"

// Contract 3: which keys a row may see, for one sequence. The words that are ranges (causal,
// block-causal, prefix, window, hole, length) are all here; keep and segments are elementwise and
// stay with the kernels.
namespace attend {

struct KeyRange {  // half-open; begin >= end is empty
  int64_t begin = 0, end = 0;
};

enum class TileKind : uint8_t { kSkip, kFull, kPartial };

// What two words that each make something of a tile leave of it together.
ATTEND_HD TileKind both(TileKind a, TileKind b) {
  if (a == TileKind::kSkip || b == TileKind::kSkip) return TileKind::kSkip;
  return a == TileKind::kFull ? b : TileKind::kPartial;
}

struct RowMask {
  int64_t seqlen_k = 0;   // keys in use
  int64_t first_key = 0;  // decode: keys before it are hidden
  int64_t d = 0;          // row i stands at position i + d
  bool causal = false;
  int64_t block_size = 0;  // > 0: block-causal
  int64_t block_origin = 0;
  int64_t window_left = -1, window_right = -1;
  bool has_prefix = false;
  int64_t prefix = 0;
  int64_t hole_begin = 0, hole_end = 0;

  // The keys of row i, the hole not yet taken out. Neither bound falls as i grows.
  ATTEND_HD KeyRange keys(int64_t i) const {
    const int64_t p = i + d;
    KeyRange r{first_key, seqlen_k};
    if (causal || block_size > 0) clip_end(r, rule_end(p));
    if (window_right >= 0) clip_end(r, p + window_right + 1);
    if (window_left >= 0 && p - window_left > r.begin) r.begin = p - window_left;
    if (r.begin > seqlen_k) r.begin = seqlen_k;
    if (r.end < 0) r.end = 0;
    return r;
  }

  ATTEND_HD bool in_hole(int64_t j) const { return j >= hole_begin && j < hole_end; }

  ATTEND_HD bool keeps(int64_t i, int64_t j) const {
    const KeyRange r = keys(i);
    return j >= r.begin && j < r.end && !in_hole(j);
  }

  // What the tile of rows [i0, i1) and keys [j0, j1) needs. The bounds rise with i, so the two
  // outer rows decide.
  ATTEND_HD TileKind classify(int64_t i0, int64_t i1, int64_t j0, int64_t j1) const {
    const KeyRange first = keys(i0), last = keys(i1 - 1);
    if (j0 >= last.end || j1 <= first.begin) return TileKind::kSkip;
    const bool hole = hole_begin < hole_end && j0 < hole_end && j1 > hole_begin;
    if (hole && j0 >= hole_begin && j1 <= hole_end) return TileKind::kSkip;
    return !hole && j1 <= first.end && j0 >= last.begin ? TileKind::kFull : TileKind::kPartial;
  }

 private:
  // One past the last key of the (block-)causal rule, or of the prefix that replaces it.
  ATTEND_HD int64_t rule_end(int64_t p) const {
    if (has_prefix && p < prefix) return prefix;
    if (block_size <= 0) return p + 1;
    if (p < block_origin) return block_origin;
    return block_origin + ((p - block_origin) / block_size + 1) * block_size;
  }
  ATTEND_HD static void clip_end(KeyRange& r, int64_t end) {
    if (end < r.end) r.end = end;
  }
};

}  // namespace attend
