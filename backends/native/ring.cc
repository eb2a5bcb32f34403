// ring/native: sequence-parallel attention; every rank joins all keys into its own rows.
//
//   alone     no transport: the rows against all keys, piece by piece
//   ranks     n steps: while the tiles work on the block at hand, it travels on to the next rank
//             and the one of the rank before arrives; blocks hold K and V in their own dtype
//   task      a tile of stacked query rows of one sequence and one head of keys, against the keys of
//             a block in pieces of 2048; a piece is a call of the tiles with positions of its own
//   join      in f32, by lse: m, l and sum of exp(lse - m) * out of each row and head; sinks and
//             the division come once, at the end
//   traffic   each rank sends every key but the next rank's once: (n - 1) / n of K and V
//   memory    (v_dim + 2) f32 a row and head, two blocks, one tile worker and a partial a thread
//   skipped   pieces that ranges (causal, window, length, hole) hide from all rows of a task
//   errors    a rank that fails aborts the ring, so that nobody waits for it
#include <new>
#include <string>

#include "attend/registry.h"
#include "backends/native/kernels.h"
#include "backends/native/ring_exchange.h"
#include "backends/native/ring_rows.h"
#include "backends/native/tiles.h"
#include "ops/ring/abort.h"

namespace attend::native {
namespace {

constexpr Status kNoMemory{ErrorCode::kOutOfMemory, "scratch memory is not to be had", 0};

// The sequences with masks of whole lengths, which lengths(b) gives for rows and for keys.
template <class Lengths>
std::vector<RingSequence> sequences_of(const AttentionArgs& a, const AttentionParams& p,
                                       Lengths&& lengths) {
  std::vector<RingSequence> sequences;
  const int64_t batch = call_shape(a).batch;
  for (int64_t b = 0; b < batch; ++b) {
    RingSequence sequence{attend::sequence(a, p, b), {}};
    const auto [rows, keys] = lengths(sequence);
    RowMask& mask = sequence.s.mask;
    mask.seqlen_k = keys;
    if (!p.mask.q_start) mask.d = p.mask.diagonal == Diagonal::kTopLeft ? 0 : keys - rows;
    sequences.push_back(sequence);
  }
  return sequences;
}

Status run_alone(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context) {
  KeyBlock all{a.k, a.v, p.mask.kv_segment_ids, {}, {}};
  const std::vector<RingSequence> sequences = sequences_of(a, p, [&](RingSequence& sequence) {
    const Sequence& s = sequence.s;
    sequence.rows = {{{0, s.q_len, 0}}, s.q_len > 0 ? 1 : 0};
    all.first.push_back(s.k_first);
    all.chunks.push_back({{{0, s.k_len, 0}}, s.k_len > 0 ? 1 : 0});
    return std::pair(s.q_len, s.k_len);
  });
  RingRows rows(ops, a, p, context, sequences);
  if (!rows) return kNoMemory;
  if (const Status s = rows.attend(all); !s) return s;
  rows.finish();
  return {};
}

Status run_rank(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                const ExecContext& context) {
  RingTransport& ring = *p.ring_transport;
  RingMeeting meeting;
  if (const Status s = meeting.meet(a, p); !s) return s;
  const std::vector<RingSequence> sequences = sequences_of(a, p, [&](RingSequence& sequence) {
    const RingLengths rows = meeting.queries(sequence.s.b);
    sequence.rows = ring_chunks(p.ring_placement, rows, ring.rank());
    return std::pair(rows.all_used(), meeting.keys(sequence.s.b).all_used());
  });
  RingRows rows(ops, a, p, context, sequences);
  if (!rows) return kNoMemory;
  RingBlocks blocks(a, p, context, meeting, sequences);
  const int32_t steps = ring.size();
  if (steps > 1 && !blocks.pack()) return kNoMemory;
  for (int32_t step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more)
      if (const Status s = blocks.start(step); !s) return s;
    if (const Status s = rows.attend(step == 0 ? blocks.own() : blocks.at_hand()); !s) {
      abort_ring(ring, s);
      return s;
    }
    if (more)
      if (const Status s = blocks.wait(); !s) return s;
  }
  rows.finish();
  return {};
}

Status run_ring(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                const ExecContext& context) {
  Status status;
  try {
    status =
        p.ring_transport == nullptr ? run_alone(ops, a, p, context) : run_rank(ops, a, p, context);
  } catch (const std::bad_alloc&) {
    status = kNoMemory;
  }
  if (!status && p.ring_transport != nullptr) abort_ring(*p.ring_transport, status);
  return status;
}

}  // namespace

void add_ring(Registry& registry) {
  add_tile_rows<run_ring, RingRows::workspace_bytes>(
      registry, OpId::kRing,
      "f32 f16 bf16; one process or ranks, contiguous or zigzag; dense, ragged; every mask and "
      "score word; dropout; lse");
}

}  // namespace attend::native
