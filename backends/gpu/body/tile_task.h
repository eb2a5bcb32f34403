#pragma once
#include "backends/gpu/call/tiles.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/layout.h"
#include "ops/common/split_plan.h"

namespace attend::gpu {

// What one block works on: some stacked rows of one sequence, and which part of their keys.
struct TileTask {
  Sequence seq;
  int64_t stack_number = 0;    // of the sequence's stacks
  int64_t begin = 0, end = 0;  // stacked rows
  int32_t stack = 1, part = 0;
  int64_t record = -1;  // of the part, -1 where there is none
  SplitPlan split;
  KeyRange keys;  // that this block attends to

  ATTEND_DEVICE int64_t kv_head(const AttentionArgs& a) const {
    return stack_number * stack / (a.q.dim(-2) / a.k.dim(-2));
  }
  // Stacked row r of the tile.
  ATTEND_DEVICE int64_t position(int64_t r) const { return (begin + r) / stack; }
  ATTEND_DEVICE int64_t head(int64_t r) const { return stack_number * stack + (begin + r) % stack; }
  ATTEND_DEVICE int64_t rows() const { return end - begin; }
  // Whether the keys are cut, so that fold.h finishes the rows.
  ATTEND_DEVICE bool is_cut() const { return split.count() > 1; }
};

// Which tile, column and part block n is. Under a causal mask the last rows have the most keys: they
// go first, so that no multiprocessor ends with them.
//
// On a device of several dies block n runs on die n % dies. All tiles of a column, or of a part of
// its keys, are put on one die, whose cache then fetches the keys once for them all: in each row of
// tiles, columns change places within their group of `dies`. Columns beyond the last whole group go
// to all dies in turn, so that none gets a block more than another has to.
struct BlockPlace {
  int32_t tile, column, part;

  // Blocks of a launch, and so columns x parts, are fewer than 2^31.
  ATTEND_DEVICE BlockPlace(const TileGrid& g, int32_t n) {
    const auto cut = static_cast<int32_t>(g.whole_blocks());
    const bool split = n >= cut;
    if (split) n -= cut;
    const int32_t parts = split ? g.parts : 1;
    const int32_t across = static_cast<int32_t>(g.columns) * parts, row = n / across;
    int32_t place = n - row * across;
    if (place < across - across % g.dies) place += n % g.dies - place % g.dies;
    tile = (split ? g.split_tiles : g.tiles) - 1 - row;
    column = place / parts;
    part = place - column * parts;
  }
};

// False where the block has nothing to do: the same for all its threads.
ATTEND_DEVICE bool find_task(const TilesCall& call, const BlockPlace& place, TileTask& task) {
  const TileGrid& g = call.grid;
  const int64_t stacks = call.args.q.dim(-2) / call.stack, b = place.column / stacks;
  if (call.skip != nullptr && call.skip[b] != 0) return false;
  task.seq = sequence(call.args, call.params, b);
  task.stack = call.stack;
  task.stack_number = place.column % stacks;
  const int64_t stacked = task.seq.q_len * call.stack;
  task.begin = int64_t{place.tile} * g.tile_rows;
  task.end = task.begin + g.tile_rows < stacked ? task.begin + g.tile_rows : stacked;
  if (task.begin >= task.end) return false;

  const KeyRange visible{task.seq.mask.keys(task.position(0)).begin,
                         task.seq.mask.keys(task.position(task.rows() - 1)).end};
  task.split = split_plan(call.plan.kinds != nullptr ? INT64_MAX : stacked, visible);
  const int64_t n = task.split.first + place.part;
  if (n >= task.split.end) return false;
  task.keys = task.split.part(n, visible);
  if (task.is_cut()) task.record = (place.tile * g.columns + place.column) * g.parts + place.part;
  return true;
}

// What splash's plan says of keys [j0, j1) of the task's rows: tiles of the plan need not be those of
// the kernel.
ATTEND_DEVICE TileKind planned(const DevicePlan& plan, const TileTask& t, int64_t j0, int64_t j1) {
  const int64_t plane = plan.planes == 1 ? 0 : t.stack_number * t.stack;
  const TileKind* kinds =
      plan.kinds + (t.seq.b * plan.planes + plane) * plan.row_tiles * int64_t{plan.key_tiles};
  bool any = false, all = true;
// Not unrolled: many kinds at once take registers that accumulators need.
#pragma unroll 1
  for (int64_t r = t.position(0) / plan.rows; r <= t.position(t.rows() - 1) / plan.rows; ++r)
#pragma unroll 1
    for (int64_t c = j0 / plan.keys; c <= (j1 - 1) / plan.keys; ++c) {
      const TileKind kind = kinds[r * plan.key_tiles + c];
      any |= kind != TileKind::kSkip;
      all &= kind == TileKind::kFull;
    }
  return all ? TileKind::kFull : any ? TileKind::kPartial : TileKind::kSkip;
}

// A part's record: m and l of each row, then its accumulators, row by row.
struct TileRecord {
  float *m, *l, *out;

  ATTEND_DEVICE TileRecord(const TilesCall& call, int64_t number) {
    const int64_t rows = call.grid.record_rows, dim = call.args.v.dim(-1);
    m = call.records + number * rows * (dim + 2);
    l = m + rows;
    out = l + rows;
  }
};

}  // namespace attend::gpu
