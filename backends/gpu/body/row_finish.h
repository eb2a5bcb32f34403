#pragma once
#include "backends/gpu/body/tile_task.h"
#include "ops/common/element.h"
#include "ops/common/online_softmax.h"

namespace attend::gpu {

// Where the rows of a task end up; in shared memory, for all threads.
struct TileOutput {
  RowsView out, lse;

  ATTEND_DEVICE void fill(const TilesCall& call, const TileTask& t) {
    out = rows_of(call.args.out, t.seq.b, t.seq.q_first);
    lse = {};
    if (call.args.lse) lse = lse_rows_of(call.args.lse, t.seq.b, t.seq.q_first);
  }
};

// The end of a row: sinks, the division, out and lse.
struct RowFinish {
  const TileOutput& to;
  int64_t i, head;
  float factor, lse;
  bool empty;

  ATTEND_DEVICE RowFinish(const TilesCall& call, const TileTask& t, const TileOutput& output,
                          int64_t row, OnlineSoftmax state)
      : to(output), i(t.position(row)), head(t.head(row)), empty(state.l == 0.0f) {
    factor = call.dropout.keep_scale;
    const TensorView& sinks = call.params.sinks;
    for (int64_t n = 0; n < sink_count(sinks); ++n)
      factor *= state.admit_sink(sink_logit(sinks, head, n));
    factor *= state.inverse_sum();
    lse = state.lse();
  }

  // Element d of the row, accumulated to sum. No visible key: 0, whatever other rows of the tile
  // have put beside it.
  ATTEND_DEVICE void store_out(int64_t d, float sum) const {
    store(to.out.at(i, head) + d * to.out.dim * size_bytes(to.out.dtype), to.out.dtype,
          empty ? 0.0f : sum * factor);
  }
  ATTEND_DEVICE void store_lse() const {
    if (to.lse.base != nullptr) store(to.lse.at(i, head), DType::kF32, lse);
  }
};

}  // namespace attend::gpu
