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

Status run_alone(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context) {
  RingKeys all{a.k, a.v, p.mask.kv_segment_ids, {}, {}};
  std::vector<RingSequence> sequences;
  for (int64_t b = 0; b < call_shape(a).batch; ++b) {
    const Sequence s = attend::sequence(a, p, b);
    sequences.push_back({s, {{{0, s.q_len, 0}}, s.q_len > 0 ? 1 : 0}});
    all.first.push_back(s.k_first);
    all.chunks.push_back({{{0, s.k_len, 0}}, s.k_len > 0 ? 1 : 0});
  }
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
  const RingGather gather = [&](std::vector<int64_t>& all, int64_t words) {
    return ring_gather(ring, reinterpret_cast<std::byte*>(all.data()),
                       static_cast<uint64_t>(words) * sizeof(int64_t), nullptr);
  };
  if (const Status s = meeting.meet(a, p, gather); !s) return s;
  const std::vector<RingSequence> sequences = ring_sequences(a, p, meeting);
  RingRows rows(ops, a, p, context, sequences);
  if (!rows) return kNoMemory;
  HeldBuffers buffers;
  RingBlocks blocks(a, p, meeting, sequences);
  blocks.travel_in(buffers);
  if (ring.size() > 1 && !buffers.pack(a, p, context, blocks, sequences)) return kNoMemory;
  const Status s =
      ring_rounds(ring, blocks, [&](const RingKeys& block) { return rows.attend(block); });
  if (s) rows.finish();
  return s;
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
