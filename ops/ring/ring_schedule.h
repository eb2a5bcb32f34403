#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "attend/ring.h"

// Which rows of a sequence are where in a ring: pure functions of lengths, for every backend.
namespace attend {

// What ring_cut answers (attend/ring.h) to arguments that are right.
std::array<RingSpan, 2> ring_spans(RingPlacement placement, int64_t length, int32_t rank,
                                   int32_t ranks);

// Whose block a rank works on at a step: its own first, then those of the ranks before it.
inline int32_t ring_source(int32_t rank, int32_t step, int32_t ranks) {
  return (rank - step % ranks + ranks) % ranks;
}

// Rows of one sequence that lie side by side on a rank.
struct RingChunk {
  int64_t first = 0;  // original position of its first row
  int64_t count = 0;
  int64_t local = 0;  // its first row among the rank's rows of this sequence
};

struct RingChunks {
  RingChunk chunk[2];
  int32_t n = 0;  // chunks without rows are left out

  const RingChunk* begin() const { return chunk; }
  const RingChunk* end() const { return chunk + n; }
};

// The chunks of a rank's rows in use. held and used have one entry a rank, `step` apart.
struct RingLengths {
  const int64_t* held;
  const int64_t* used;
  int64_t step = 1;
  int32_t ranks = 1;

  int64_t held_by(int32_t rank) const { return held[rank * step]; }
  int64_t used_by(int32_t rank) const { return used[rank * step]; }
  int64_t all_held() const;
  int64_t all_used() const;
};
RingChunks ring_chunks(RingPlacement placement, const RingLengths& lengths, int32_t rank);

// The first rank that does not hold the rows that its placement gives it, or whose rows in use are
// not the first of the sequence; -1 if all do.
struct RingMisfit {
  int32_t rank = -1;
  int64_t held = 0, want_held = 0;  // rows; both 0 if the rows in use are what is wrong
  int64_t used = 0, want_used = 0;
};
RingMisfit ring_misfit(RingPlacement placement, const RingLengths& lengths);

}  // namespace attend
