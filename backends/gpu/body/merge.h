#pragma once
// merge: two partial results over disjoint keys become one, out = a * factor_a + b * factor_b.
//
//   block    kMergeRows rows, each of a team of 32 threads; a row is one head of one query position
//   per row  two lse make two factors and the lse of both (ops/common/online_softmax.h)
//   traffic  each element of out_a, out_b and out moves once
//   in place out may be out_a or out_b: the thread that reads an element writes it
#include "backends/gpu/call/merge.h"
#include "backends/gpu/device/thread.h"
#include "ops/common/element.h"
#include "ops/common/layout.h"
#include "ops/common/online_softmax.h"

namespace attend::gpu {

struct Merge {
  using Args = MergeCall;
  static constexpr int kThreads = kMerge.threads;

  static ATTEND_DEVICE void run(Thread& x, const MergeCall& call) {
    const int64_t at = int64_t{x.block().x} * kMergeRows + x.tid() / kMergeTeam;
    const bool live = at < call.rows;  // idle teams read the last row and write nothing
    const int64_t row = live ? at : call.rows - 1;
    const MergeArgs& m = call.args;
    const int64_t heads = m.out.dim(-2), seqlen = m.out.dim(-3);
    const int64_t h = row % heads, i = row / heads % seqlen, b = row / heads / seqlen;
    const float lse_a = lse_at(m.lse_a, b, i, h), lse_b = lse_at(m.lse_b, b, i, h);
    const MergeWeights w = merge_weights(lse_a, lse_b);
    const RowsView from_a = rows_of(m.out_a, b, 0), from_b = rows_of(m.out_b, b, 0),
                   to = rows_of(m.out, b, 0);
    const bool empty_a = lse_a == -math::kInfinity, empty_b = lse_b == -math::kInfinity;
    for (int64_t d = x.tid() % kMergeTeam; live && d < m.out.dim(-1); d += kMergeTeam) {
      // An empty part weighs nothing whatever its memory holds: 0 * NaN must not happen, and the
      // other part keeps its bits, the sign of zero included.
      const float part_a = empty_a ? 0.0f : w.factor_a * element_at(from_a, i, h, d);
      const float part_b = empty_b ? 0.0f : w.factor_b * element_at(from_b, i, h, d);
      const float sum = empty_a ? part_b : empty_b ? part_a : part_a + part_b;
      store(to.at(i, h) + d * to.dim * size_bytes(to.dtype), to.dtype, sum);
    }
    x.warp_sync();  // lse may be lse_a or lse_b, which the whole team has read now
    if (live && m.lse && x.tid() % kMergeTeam == 0)
      store(lse_rows_of(m.lse, b, 0).at(i, h), DType::kF32, w.lse);
  }

 private:
  static ATTEND_DEVICE float lse_at(const TensorView& t, int64_t b, int64_t i, int64_t h) {
    return load(lse_rows_of(t, b, 0).at(i, h), DType::kF32);
  }
  static ATTEND_DEVICE float element_at(const RowsView& rows, int64_t i, int64_t h, int64_t d) {
    return load(rows.at(i, h) + d * rows.dim * size_bytes(rows.dtype), rows.dtype);
  }
};

}  // namespace attend::gpu
