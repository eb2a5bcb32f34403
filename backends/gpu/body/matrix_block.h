#pragma once
#include "backends/gpu/body/key_rows.h"
#include "backends/gpu/body/key_words.h"
#include "backends/gpu/body/row_finish.h"
#include "backends/gpu/body/tile_task.h"
#include "backends/gpu/call/matrix_tiles.h"

namespace attend::gpu {

// What all threads of a block know of it: in shared memory, because it would fill the registers
// that accumulators need.
struct MatrixBlock {
  TileTask task;
  KeyRows k_rows, v_rows;
  KeyWords words;
  TileOutput output;
  bool live;      // there is something to do
  bool selects;   // keep, segments or blocks decide pair by pair
  bool biased;    // so does a bias, by -inf
  bool is_plain;  // scores are only scaled, by a positive factor: the softmax does it
  float unit;     // of what the softmax takes, in binary logarithms
  int32_t rows;   // stacked rows of this block
  int32_t begin, end, hole_begin,
      hole_end;  // of task.keys and of the mask, as positions below 2^30

  // Everything that follows from the task. All threads call; task is there.
  ATTEND_DEVICE void fill(Thread& x, const TilesCall& call) {
    const AttentionArgs& a = call.args;
    if (x.tid() == 0) {
      k_rows = KeyRows(a, task.seq, task.kv_head(a), a.k, a.k_new, a.k_descale);
      fill_numbers(call);
    }
    if (x.tid() == 32) v_rows = KeyRows(a, task.seq, task.kv_head(a), a.v, a.v_new, a.v_descale);
    if (x.tid() == 33) words = KeyWords(call.params, task.seq);
    if (x.tid() == 1) output.fill(call, task);
    x.sync();
  }

  // Keys of a call are fewer than 2^30 (host/matrix_rows.cc); a mask may name positions beyond.
  static ATTEND_DEVICE int32_t position(int64_t j) {
    constexpr int64_t kFar = int64_t{1} << 30;
    return static_cast<int32_t>(j < -kFar ? -kFar : j > kFar ? kFar : j);
  }

  struct Span {
    int32_t begin, end;
  };
  // Keys that row r of the block may see, the hole not yet taken out.
  ATTEND_DEVICE Span keys_of(int32_t r) const {
    const KeyRange keys = task.seq.mask.keys(row_position(r));
    const int32_t b = position(keys.begin), e = position(keys.end);
    return {b < begin ? begin : b, e < end ? e : end};
  }
  // Without a stack there is nothing to divide.
  ATTEND_DEVICE int64_t row_position(int32_t r) const {
    return task.stack == 1 ? task.begin + r : task.position(r);
  }

  // The first step of `keys` keys at or after j that is not skipped as a whole, and what a plan says
  // of it; end where there is none.
  struct Step {
    int32_t j;
    TileKind kind;
  };
  ATTEND_DEVICE Step next_step(const TilesCall& call, int32_t j, int32_t keys) const {
    for (; j < end; j += keys) {
      if (hole_begin <= j && j + keys <= hole_end) continue;
      if (call.plan.kinds == nullptr) return {j, TileKind::kPartial};
      const int64_t j1 = j + keys < task.seq.k_len ? j + keys : task.seq.k_len;
      const TileKind kind = planned(call.plan, task, j, j1);
      if (kind != TileKind::kSkip) return {j, kind};
    }
    return {end, TileKind::kSkip};
  }

  // The row of key j, null where no row of the block may see it by ranges: nothing is read there.
  ATTEND_DEVICE const std::byte* key_row(const KeyRows& from, int32_t j) const {
    const bool in = j >= begin && j < end && (j < hole_begin || j >= hole_end);
    return in ? from.row(j) : nullptr;
  }

 private:
  ATTEND_DEVICE void fill_numbers(const TilesCall& call) {
    constexpr float kLog2E = 1.44269504088896340736f;
    const AttentionParams& p = call.params;
    const float scale = *p.softmax_scale * k_rows.scale;
    selects = p.mask.keep || p.mask.block_mask || p.mask.q_segment_ids;
    biased = static_cast<bool>(p.bias);
    is_plain = p.softcap <= 0.0f && !p.alibi_slopes && !biased && scale > 0.0f;
    unit = is_plain ? scale * kLog2E : kLog2E;
    rows = static_cast<int32_t>(task.rows());
    begin = position(task.keys.begin);
    end = position(task.keys.end);
    hole_begin = position(task.seq.mask.hole_begin);
    hole_end = position(task.seq.mask.hole_end);
  }
};
static_assert(sizeof(MatrixBlock) <= MatrixLayout::kTaskBytes);

}  // namespace attend::gpu
