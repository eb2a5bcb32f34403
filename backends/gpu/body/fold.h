#pragma once
// fold: the parts of a sequence's keys, each with a record of (m, l, out) per row, become rows.
//
//   block    one tile of one column, 128 threads over its rows and dimensions
//   order    part after part: a row's bits do not depend on which block was done first
//   traffic  every record is read once
#include "backends/gpu/body/row_finish.h"

namespace attend::gpu {

struct Fold {
  using Args = TilesCall;
  static constexpr int kThreads = kFold.threads;
  struct Shared {
    TileTask task;
    TileOutput output;
  };
  static_assert(sizeof(Shared) <= kFoldSharedBytes);

  static ATTEND_DEVICE void run(Thread& x, const TilesCall& call) {
    TileGrid grid = call.grid;  // one block for all parts of a tile
    grid.tiles = grid.split_tiles;
    grid.parts = 1;
    const BlockPlace place(grid, x.block().x);
    auto& [task, output] = *reinterpret_cast<Shared*>(x.shared());
    if (x.tid() == 0) {
      if (!find_task(call, place, task)) task.split = {};
      output.fill(call, task);
    }
    x.sync();
    if (!task.is_cut()) return;
    const int64_t first = (place.tile * call.grid.columns + place.column) * call.grid.parts;
    const int64_t v_dim = call.args.v.dim(-1);
    for (int64_t e = x.tid(); e < task.rows() * v_dim; e += kThreads) {
      const int64_t row = e / v_dim, d = e % v_dim;
      OnlineSoftmax all;
      float sum = 0.0f;
      for (int64_t n = 0; n < task.split.count(); ++n) {
        const TileRecord part(call, first + n);
        const float before = all.admit(part.m[row]);
        const float now = part.m[row] == -math::kInfinity ? 0.0f : math::exp(part.m[row] - all.m);
        all.l += part.l[row] * now;
        sum = sum * before + part.out[row * v_dim + d] * now;
      }
      const RowFinish finish(call, task, output, row, all);
      finish.store_out(d, sum);
      if (d == 0) finish.store_lse();
    }
  }
};

}  // namespace attend::gpu
