#include "backends/native/ring_exchange.h"

#include <cstring>

namespace attend::native {
namespace {

// Copies rows [0, count) of all heads, side by side.
std::byte* pack_rows(const RowsView& from, int64_t count, int64_t heads, int64_t dims,
                     std::byte* to) {
  const int64_t size = size_bytes(from.dtype);
  const auto row_bytes = static_cast<size_t>(dims * size);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t h = 0; h < heads; ++h) {
      const std::byte* row = from.at(i, h);
      if (from.dim == 1)
        std::memcpy(to, row, row_bytes);
      else
        for (int64_t d = 0; d < dims; ++d)
          std::memcpy(to + d * size, row + d * from.dim * size, static_cast<size_t>(size));
      to += row_bytes;
    }
  return to;
}

}  // namespace

bool HeldBuffers::pack(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context,
                       const RingBlocks& blocks, const std::vector<RingSequence>& sequences) {
  const uint64_t most = blocks.most_bytes();
  for (int i = 0; i < 2; ++i) {
    buffer[i] = held_[i].emplace(context, most).data();
    if (buffer[i] == nullptr) return false;
  }
  stream = context.stream;
  const CallShape shape = call_shape(a);
  const RingBlocks::Parts parts = blocks.parts_of(p.ring_transport->rank());
  std::byte *k = buffer[0], *v = k + parts.v, *ids = k + parts.ids;
  for (const RingSequence& sequence : sequences) {
    const Sequence& s = sequence.s;
    k = pack_rows(rows_of(a.k, s.b, s.k_first), s.k_len, shape.kv_heads, shape.head_dim, k);
    if (!parts.v_in_k)
      v = pack_rows(rows_of(a.v, s.b, s.k_first), s.k_len, shape.kv_heads, shape.v_dim, v);
    if (!p.mask.kv_segment_ids) continue;
    const IndexVector own_ids = ids_of(p.mask.kv_segment_ids, s.b, s.k_first);
    for (int64_t j = 0; j < s.k_len; ++j, ids += sizeof(int64_t)) {
      const int64_t id = index_at(own_ids, j);
      std::memcpy(ids, &id, sizeof id);
    }
  }
  return true;
}

}  // namespace attend::native
