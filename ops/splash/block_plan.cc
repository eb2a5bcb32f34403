#include "ops/splash/block_plan.h"

#include <algorithm>

#include "ops/common/layout.h"

namespace attend {
namespace {

struct Block {  // rows [i0, i1) of q and keys [j0, j1)
  int64_t i0, i1, j0, j1;
};

TileKind kind_of(bool any, bool all) {
  return all ? TileKind::kFull : any ? TileKind::kPartial : TileKind::kSkip;
}

// Rows of a boolean mask: stops as soon as the tile is known to be partial.
TileKind of_keep(const BroadcastView& keep, int64_t b, int64_t h, const Block& t) {
  bool any = false, all = true;
  const int64_t rows = keep.i == 0 ? t.i0 + 1 : t.i1, keys = keep.j == 0 ? t.j0 + 1 : t.j1;
  for (int64_t i = t.i0; i < rows; ++i) {
    const std::byte* row = keep.at(b, h, i);
    for (int64_t j = t.j0; j < keys; ++j) {
      const bool kept = row[j * keep.j] != std::byte{0};
      any |= kept;
      all &= kept;
    }
    if (any && !all) return TileKind::kPartial;
  }
  return kind_of(any, all);
}

TileKind of_block_mask(const BroadcastView& mask, const MaskSpec& m, int64_t b, int64_t h,
                       const Block& t) {
  bool any = false, all = true;
  for (int64_t i = t.i0 / m.block_mask_q; i <= (t.i1 - 1) / m.block_mask_q; ++i)
    for (int64_t j = t.j0 / m.block_mask_k; j <= (t.j1 - 1) / m.block_mask_k; ++j) {
      const bool kept = mask.at(b, h, i)[j * mask.j] != std::byte{0};
      any |= kept;
      all &= kept;
    }
  return kind_of(any, all);
}

// The ids of one range of rows: negative ones see nothing.
struct Ids {
  int64_t low = INT64_MAX, high = -1;  // of those that are not negative
  bool padding = false;

  Ids(const IndexVector& ids, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t id = index_at(ids, i);
      padding |= id < 0;
      if (id < 0) continue;
      low = std::min(low, id);
      high = std::max(high, id);
    }
  }
};

// Ids whose ranges do not meet share nothing; those that meet may, which the kernel finds out.
TileKind of_segments(const Ids& q, const Ids& k) {
  if (q.high < k.low || k.high < q.low) return TileKind::kSkip;
  const bool one = q.low == q.high && k.low == k.high && q.low == k.low;
  return one && !q.padding && !k.padding ? TileKind::kFull : TileKind::kPartial;
}

// Keys that no row of a range sees; the hole is one of them.
TileKind of_ranges(const RowMask& mask, const Block& t) {
  return mask.classify(t.i0, t.i1, t.j0, t.j1);
}

}  // namespace

BlockPlan::BlockPlan(const AttentionArgs& a, const AttentionParams& p, TileShape shape)
    : shape_(shape) {
  const CallShape call = call_shape(a);
  const MaskSpec& m = p.mask;
  planes_ = plan_planes(a, p);
  const BroadcastView keep(m.keep), blocks(m.block_mask);
  for (int64_t b = 0; b < call.batch; ++b) {
    const Sequence s = sequence(a, p, b);
    Part part{static_cast<int64_t>(kinds_.size()), (s.q_len + shape.rows - 1) / shape.rows,
              (s.k_len + shape.keys - 1) / shape.keys};
    sequences_.push_back(part);
    std::vector<Ids> key_ids;
    for (int64_t n = 0; m.kv_segment_ids && n < part.key_tiles; ++n)
      key_ids.emplace_back(ids_of(m.kv_segment_ids, b, s.k_first), n * shape.keys,
                           std::min(s.k_len, (n + 1) * shape.keys));
    for (int64_t h = 0; h < planes_; ++h)
      for (int64_t r = 0; r < part.row_tiles; ++r) {
        Block t{r * shape.rows, std::min(s.q_len, (r + 1) * shape.rows), 0, 0};
        const Ids row_ids = m.q_segment_ids ? Ids(ids_of(m.q_segment_ids, b, s.q_first), t.i0, t.i1)
                                            : Ids(IndexVector{}, 0, 0);
        for (int64_t n = 0; n < part.key_tiles; ++n) {
          t.j0 = n * shape.keys;
          t.j1 = std::min(s.k_len, t.j0 + shape.keys);
          TileKind kind = of_ranges(s.mask, t);
          if (m.q_segment_ids && kind != TileKind::kSkip)
            kind = both(kind, of_segments(row_ids, key_ids[static_cast<size_t>(n)]));
          if (blocks && kind != TileKind::kSkip)
            kind = both(kind, of_block_mask(blocks, m, b, h, t));
          if (keep && kind != TileKind::kSkip) kind = both(kind, of_keep(keep, b, h, t));
          kinds_.push_back(kind);
        }
      }
  }
}

BlockPlan::Counts BlockPlan::counts() const {
  Counts counts;
  for (const TileKind kind : kinds_)
    ++(kind == TileKind::kSkip   ? counts.skip
       : kind == TileKind::kFull ? counts.full
                                 : counts.partial);
  return counts;
}

}  // namespace attend
