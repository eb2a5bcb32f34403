#include "ops/ring/ring_piece.h"

namespace attend {
namespace {

// Rows [first, first + count) and heads [head, head + heads) as a batch of one.
TensorView rows_view(const RowsView& rows, int64_t first, int64_t count, int64_t head,
                     int64_t heads, int64_t dims, const Device& device) {
  TensorView view;
  view.data = rows.at(first, head);
  view.dtype = rows.dtype;
  view.rank = 4;
  view.shape = {1, count, heads, dims};
  view.stride = {0, rows.row, rows.head, rows.dim};
  view.device = device;
  return view;
}

TensorView ids_view(const TensorView& ids, int64_t b, int64_t first, const RingChunk& chunk) {
  const IndexVector all = ids_of(ids, b, first);
  TensorView view = ids;
  view.data = const_cast<std::byte*>(all.data) + chunk.local * all.stride * size_bytes(view.dtype);
  view.rank = 2;
  view.shape = {1, chunk.count};
  view.stride = {0, all.stride};
  return view;
}

// Of keep or bias [batch, heads, own rows, keys of the whole sequence], the piece's part.
void cut(TensorView& t, int64_t b, const RingChunk& rows, const RingChunk& keys,
         const RingHeads& heads) {
  if (!t) return;
  const BroadcastView full(t);
  const auto dim = [&](int from_end) { return t.rank > from_end ? t.dim(-1 - from_end) : 1; };
  TensorView part = t;
  part.data =
      element(t, b * full.b + heads.first * full.h + rows.local * full.i + keys.first * full.j);
  part.rank = 4;
  part.shape = {1, dim(2) == 1 ? 1 : heads.count, dim(1) == 1 ? 1 : rows.count,
                dim(0) == 1 ? 1 : keys.count};
  part.stride = {0, full.h, full.i, full.j};
  t = part;
}

}  // namespace

AttentionArgs ring_piece_args(const AttentionArgs& a, const Sequence& s, const RingKeys& block,
                              const RingChunk& rows, const RingChunk& keys,
                              const RingHeads& heads) {
  AttentionArgs piece;
  const int64_t k_first = block.first[static_cast<size_t>(s.b)];
  piece.q = rows_view(rows_of(a.q, s.b, s.q_first), rows.local, rows.count, heads.first,
                      heads.count, a.q.dim(-1), a.q.device);
  piece.k = rows_view(rows_of(block.k, s.b, k_first), keys.local, keys.count, heads.kv_first,
                      heads.kv_count, a.k.dim(-1), a.k.device);
  piece.v = rows_view(rows_of(block.v, s.b, k_first), keys.local, keys.count, heads.kv_first,
                      heads.kv_count, a.v.dim(-1), a.v.device);
  return piece;
}

AttentionParams ring_piece_params(const AttentionParams& p, const Sequence& s,
                                  const RingKeys& block, const RingChunk& rows,
                                  const RingChunk& keys, const RingHeads& heads) {
  AttentionParams piece = p;
  MaskSpec& m = piece.mask;
  piece.sinks = {};
  m.diagonal = Diagonal::kBottomRight;
  m.q_start = m.block_origin = m.prefix_lens = m.hole_starts = m.hole_ends = {};
  cut(m.keep, s.b, rows, keys, heads);
  cut(piece.bias, s.b, rows, keys, heads);
  if (TensorView& t = piece.alibi_slopes) {
    const int64_t step = t.stride[t.rank == 2 ? 1 : 0];
    t.data = element(t, heads.first * step + (t.rank == 2 ? s.b * t.stride[0] : 0));
    t.rank = 1;
    t.shape[0] = heads.count;
    t.stride[0] = step;
  }
  if (block.ids) {
    m.q_segment_ids = ids_view(p.mask.q_segment_ids, s.b, s.q_first, rows);
    m.kv_segment_ids = ids_view(block.ids, s.b, block.first[static_cast<size_t>(s.b)], keys);
  }
  return piece;
}

RowMask ring_piece_mask(const RowMask& whole, const RingChunk& rows, const RingChunk& keys) {
  RowMask mask = whole;
  mask.seqlen_k = keys.count;
  mask.d = rows.first + whole.d - keys.first;
  mask.block_origin -= keys.first;  // its default names a position, too
  mask.prefix -= keys.first;
  mask.hole_begin -= keys.first;
  mask.hole_end -= keys.first;
  return mask;
}

}  // namespace attend
