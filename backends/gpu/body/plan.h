#pragma once
// plan: what splash's tiles need, made on the device before they run.
//
//   block    one tile of one sequence and plane (all heads share a plane unless a mask has heads)
//   ranges   causal, windows, prefix, hole, lengths: in O(1) from the tile's corners (mask.h)
//   words    keep, segments, block masks: every pair is looked at, by all threads, unless the ranges
//            skip the tile
//   traffic  a boolean mask is read once; one byte a tile is written
#include "backends/gpu/body/key_words.h"
#include "backends/gpu/call/plan.h"

namespace attend::gpu {

struct Plan {
  using Args = TilesCall;
  static constexpr int kThreads = kPlan.threads;

  static ATTEND_DEVICE void run(Thread& x, const TilesCall& call) {
    auto& shared = *reinterpret_cast<Shared*>(x.shared());
    if (x.tid() == 0) shared.place(call, x.block().x);
    x.sync();
    if (x.tid() == 0 && shared.kind != TileKind::kSkip) {  // apart: scalar registers are few
      shared.words = KeyWords(call.params, shared.seq);
      shared.kind = shared.seq.mask.classify(shared.i0, shared.i1, shared.j0, shared.j1);
    }
    x.sync();
    TileKind kind = shared.kind;
    if (kind != TileKind::kSkip && shared.words.select()) kind = both(kind, of_words(x, shared));
    if (x.tid() == 0) call.plan.kinds[x.block().x] = kind;
  }

 private:
  struct Shared {
    Sequence seq;
    KeyWords words;
    TileKind kind;                 // by ranges
    int64_t head, i0, i1, j0, j1;  // rows [i0, i1), keys [j0, j1)
    uint32_t any, all;

    ATTEND_DEVICE void place(const TilesCall& call, int64_t n) {
      const DevicePlan& plan = call.plan;
      const int64_t column = n % plan.key_tiles, row = n / plan.key_tiles % plan.row_tiles;
      const int64_t plane = n / plan.key_tiles / plan.row_tiles;
      head = plane % plan.planes;
      const int64_t b = plane / plan.planes;
      kind = TileKind::kSkip;
      any = 0;
      all = 1;
      if (call.skip != nullptr && call.skip[b] != 0) return;
      seq = sequence(call.args, call.params, b);
      i0 = row * plan.rows;
      i1 = least(i0 + plan.rows, seq.q_len);
      j0 = column * plan.keys;
      j1 = least(j0 + plan.keys, seq.k_len);
      if (i0 >= i1 || j0 >= j1) return;
      kind = TileKind::kPartial;
    }
    static ATTEND_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
  };
  static_assert(sizeof(Shared) <= kPlanSharedBytes);

  static ATTEND_DEVICE TileKind of_words(Thread& x, Shared& tile) {
    bool any = false, all = true;
    for (int64_t i = tile.i0; i < tile.i1; ++i) {
      const KeyWords::Row row = tile.words.row(tile.seq.b, tile.head, i);
      for (int64_t j = tile.j0 + x.tid(); j < tile.j1; j += kThreads) {
        const bool kept = tile.words.keeps(row, j);
        any |= kept;
        all &= kept;
      }
    }
    // One warp after the other, so that no two write at once.
    any = x.ballot(any) != 0;
    all = x.ballot(!all) == 0;
    for (int w = 0; w < kThreads / Thread::kWarp; ++w) {
      if (x.tid() == w * Thread::kWarp) {
        tile.any |= any;
        tile.all &= all;
      }
      x.sync();
    }
    return tile.all != 0 ? TileKind::kFull : tile.any != 0 ? TileKind::kPartial : TileKind::kSkip;
  }
};

}  // namespace attend::gpu
