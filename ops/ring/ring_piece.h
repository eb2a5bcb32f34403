#pragma once
#include "ops/common/layout.h"
#include "ops/ring/ring_blocks.h"

// Some rows of a rank and some keys of a block as a call of their own, a batch of one in which the
// first key stands at 0.
namespace attend {

// Heads of q and of k that belong together.
struct RingHeads {
  int64_t first = 0, count = 0, kv_first = 0, kv_count = 0;
};

// q, k and v; the rows' results are the caller's to place.
AttentionArgs ring_piece_args(const AttentionArgs& a, const Sequence& s, const RingKeys& block,
                              const RingChunk& rows, const RingChunk& keys, const RingHeads& heads);

// keep, bias, alibi_slopes and segment ids of these rows, keys and heads. Sinks, which count once a
// row, are left out; so are words that hold an index a sequence: they are in the mask.
AttentionParams ring_piece_params(const AttentionParams& p, const Sequence& s,
                                  const RingKeys& block, const RingChunk& rows,
                                  const RingChunk& keys, const RingHeads& heads);

// What rows see of keys, by ranges.
RowMask ring_piece_mask(const RowMask& whole, const RingChunk& rows, const RingChunk& keys);

// Whether no row of these sees any of the keys, by ranges.
inline bool ring_piece_hidden(const RowMask& whole, const RingChunk& rows, const RingChunk& keys) {
  return whole.classify(rows.first, rows.first + rows.count, keys.first, keys.first + keys.count) ==
         TileKind::kSkip;
}

}  // namespace attend
