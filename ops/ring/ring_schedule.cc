#include "ops/ring/ring_schedule.h"

#include <algorithm>

namespace attend {
namespace {

// floor(c * length / chunks) without the product, which could overflow.
int64_t cut_at(int64_t length, int64_t c, int64_t chunks) {
  return length / chunks * c + length % chunks * c / chunks;
}

RingSpan chunk_of(int64_t length, int64_t c, int64_t chunks) {
  const int64_t first = cut_at(length, c, chunks);
  return {first, cut_at(length, c + 1, chunks) - first};
}

// The rows that a rank holds; contiguous ranks as many as they say.
std::array<RingSpan, 2> spans_of(RingPlacement placement, const RingLengths& lengths,
                                 int32_t rank) {
  if (placement == RingPlacement::kZigzag)
    return ring_spans(placement, lengths.all_held(), rank, lengths.ranks);
  int64_t first = 0;
  for (int32_t r = 0; r < rank; ++r) first += lengths.held_by(r);
  return {RingSpan{first, lengths.held_by(rank)}, RingSpan{}};
}

int64_t overlap(RingSpan span, int64_t used) {
  return std::clamp<int64_t>(used - span.first, 0, span.count);
}

}  // namespace

std::array<RingSpan, 2> ring_spans(RingPlacement placement, int64_t length, int32_t rank,
                                   int32_t ranks) {
  if (placement == RingPlacement::kContiguous) return {chunk_of(length, rank, ranks), RingSpan{}};
  const int64_t chunks = 2 * int64_t{ranks};
  return {chunk_of(length, rank, chunks), chunk_of(length, chunks - 1 - rank, chunks)};
}

int64_t RingLengths::all_held() const {
  int64_t sum = 0;
  for (int32_t r = 0; r < ranks; ++r) sum += held_by(r);
  return sum;
}
int64_t RingLengths::all_used() const {
  int64_t sum = 0;
  for (int32_t r = 0; r < ranks; ++r) sum += used_by(r);
  return sum;
}

RingChunks ring_chunks(RingPlacement placement, const RingLengths& lengths, int32_t rank) {
  RingChunks chunks;
  const int64_t used = lengths.all_used();
  int64_t local = 0;
  for (const RingSpan& span : spans_of(placement, lengths, rank)) {
    const RingChunk chunk{span.first, overlap(span, used), local};
    local += span.count;
    if (chunk.count == 0) continue;
    // The two chunks of the last rank in a zigzag are neighbours: one piece of work.
    RingChunk* const last = chunks.n > 0 ? &chunks.chunk[chunks.n - 1] : nullptr;
    if (last != nullptr && last->first + last->count == chunk.first &&
        last->local + last->count == chunk.local)
      last->count += chunk.count;
    else
      chunks.chunk[chunks.n++] = chunk;
  }
  return chunks;
}

RingMisfit ring_misfit(RingPlacement placement, const RingLengths& lengths) {
  const int64_t used = lengths.all_used();
  for (int32_t r = 0; r < lengths.ranks; ++r) {
    const std::array<RingSpan, 2> spans = spans_of(placement, lengths, r);
    const int64_t held = spans[0].count + spans[1].count;
    if (lengths.held_by(r) != held) return {r, lengths.held_by(r), held, 0, 0};
    const int64_t want = overlap(spans[0], used) + overlap(spans[1], used);
    if (lengths.used_by(r) != want) return {r, 0, 0, lengths.used_by(r), want};
  }
  return {};
}

}  // namespace attend
