// ring on a device: sequence-parallel attention; every rank joins all keys into its own rows.
//
//   alone     no transport: one launch of the tiles
//   ranks     n steps (ops/ring): while the tiles work on the block at hand, the transport sends it
//             on and receives the next, on the device or through pinned memory (ring_memory.h)
//   piece     rows of one chunk and sequence, all heads, against keys of one chunk: a launch of the
//             tiles with positions of its own, and one of the merge (ring_rows.h)
//   traffic   n - 1 blocks of K and V in their own dtype a rank; out and lse in f32 twice a piece
//   memory    2 (v_dim + 1) f32 a row and head, and the blocks
//   waits     the host waits for index vectors, for its own keys where they pass through native
//             memory, and in the transport; so the call is not for graph capture
//   errors    a rank that fails aborts the ring, so that nobody waits for it
#include <exception>
#include <new>
#include <optional>

#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/ring_indices.h"
#include "backends/gpu/host/ring_memory.h"
#include "backends/gpu/host/ring_rows.h"

namespace attend::gpu {
namespace {

constexpr TileUse kAlone = tile_use(OpId::kRing);

Status run_rank(const AttentionArgs& of_call, const AttentionParams& params,
                const ExecContext& context) {
  RingTransport& ring = *params.ring_transport;
  RingIndices call(of_call, params);
  if (const Status s = call.bring(context); !s) return s;
  const AttentionArgs& a = call.args;
  const AttentionParams& p = call.params;
  RingMeeting meeting;
  const RingGather gather = [&](std::vector<int64_t>& all, int64_t words) {
    return gather_words(ring, all, words, context);
  };
  if (const Status s = meeting.meet(a, p, gather); !s) return s;

  std::optional<Scratch> scratch;  // goes after what works in it
  DeviceBuffers buffers(ring, context);
  const std::vector<RingSequence> sequences = ring_sequences(a, p, meeting);
  RingBlocks blocks(a, p, meeting, sequences);
  blocks.travel_in(buffers);
  RingRows rows(kPortableTiles, a, p, sequences, blocks);
  const uint64_t rows_bytes = rows.device_bytes(),
                 bytes =
                     rows_bytes + (ring.size() > 1 ? buffers.device_bytes(blocks.most_bytes()) : 0);
  if (!scratch.emplace(context, bytes))
    return {ErrorCode::kOutOfMemory, "{} bytes of device memory are not to be had",
            static_cast<int64_t>(bytes)};
  auto* const memory = static_cast<std::byte*>(scratch->data());
  if (const Status s = rows.begin(context, memory); !s) return s;
  if (ring.size() > 1)
    if (const Status s = buffers.pack(a, p, blocks, sequences, memory + rows_bytes); !s) return s;
  const Status s =
      ring_rounds(ring, blocks, [&](const RingKeys& block) { return rows.attend(block); });
  return s ? rows.finish() : s;
}

Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
  if (p.ring_transport == nullptr) return run_tiles(kPortableTiles, a, p, context, kAlone);
  Status status;
  try {
    status = run_rank(a, p, context);
  } catch (const std::bad_alloc&) {
    status = {ErrorCode::kOutOfMemory, "native memory is not to be had", 0};
  }
  if (!status) abort_ring(*p.ring_transport, status);
  return status;
}

// With ranks: if they all hold as much as this one. Where they hold more, other memory serves.
uint64_t workspace_bytes(const AttentionArgs& a, const AttentionParams& p, int32_t) {
  if (p.ring_transport == nullptr) return tiles_workspace_bytes(kPortableTiles, a, p, kAlone);
  const CallShape shape = call_shape(a);
  const auto rows = [](const TensorView& t) {
    return t.rank == 3 ? t.dim(0) : t.dim(0) * t.dim(1);
  };
  const int64_t ranks = p.ring_transport->size(), pieces = shape.batch * ranks * 4,
                results = 2 * rows(a.q) * shape.heads * (shape.v_dim + 1),
                keys = 2 * rows(a.k) * shape.kv_heads * (shape.head_dim + shape.v_dim),
                ids = p.mask.kv_segment_ids ? 2 * rows(a.k) : 0;
  constexpr int64_t kRounding = 16 * 256;
  return tiles_workspace_bytes(kPortableTiles, a, p, kAlone) +
         static_cast<uint64_t>(
             results * static_cast<int64_t>(sizeof(float)) + keys * size_bytes(a.k.dtype) +
             (ids + 5 * pieces) * static_cast<int64_t>(sizeof(int64_t)) + kRounding);
}

}  // namespace

void add_ring(Rows& rows) {
  rows.attention.push_back(
      {OpId::kRing, kPluginDevice, row_name(OpId::kRing, "portable"),
       "one process or ranks, contiguous or zigzag; f32 f16 bf16; dropout; every mask and score "
       "word; lse; f32 FMA",
       0, device_available,
       [](const AttentionArgs&, const AttentionParams&, const Device& device) {
         return device_available(device);
       },
       workspace_bytes, run});
}

}  // namespace attend::gpu
