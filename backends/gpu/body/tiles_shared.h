#pragma once
#include "backends/gpu/body/key_rows.h"
#include "backends/gpu/body/key_words.h"
#include "backends/gpu/body/row_finish.h"

namespace attend::gpu {

// What the tile knows of one of its rows.
struct TileRow {
  const std::byte* q;  // null where the tile has no such row
  KeyRange keys;       // that its ranges show
  KeyWords::Row words;
  int64_t position;  // on the key axis
  int64_t dropout_row, dropout_head;
  float slope;
};

// What the threads of a block have in common, in shared memory: kept by each of them it would fill
// their registers.
struct TilesShared {
  TileTask task;
  TileOutput output;
  KeyRows k_rows, v_rows;
  KeyWords words;
  TileRow rows[kTileRows];
  const std::byte *k_at[kTileKeys], *v_at[kTileKeys];  // this step's keys; null counts as zeros
  int32_t own_from;  // keys of this step from here on are the call's own rows
  bool live;
  bool seen[4][kTileKeys];  // by warp: whether some row sees the key, where words hide keys
  // One more than a power of two, so that rows begin in different banks.
  float q[kTileRows][kTileDims + 1], keys[kTileKeys][kTileDims + 1];
  float weights[kTileRows][kTileKeys + 1];

  // Everything that follows from the task. All threads call; task is there.
  ATTEND_DEVICE void fill(Thread& x, const TilesCall& call) {
    const AttentionArgs& a = call.args;
    if (x.tid() == 0) k_rows = KeyRows(a, task.seq, task.kv_head(a), a.k, a.k_new, a.k_descale);
    if (x.tid() == kTileRows)
      v_rows = KeyRows(a, task.seq, task.kv_head(a), a.v, a.v_new, a.v_descale);
    if (x.tid() == 3 * kTileRows) output.fill(call, task);
    if (x.tid() == 2 * kTileRows) words = KeyWords(call.params, task.seq);
    if (x.tid() < kTileRows) fill_row(call, x.tid());
    x.sync();
  }

  // Where keys [j0, j0 + kTileKeys) are; null for those that no row may see by ranges.
  ATTEND_DEVICE void locate(Thread& x, int64_t j0) {
    if (x.tid() == 0) {
      const int64_t cached = k_rows.cached - j0;
      own_from = cached > kTileKeys ? kTileKeys : cached < 0 ? 0 : static_cast<int32_t>(cached);
    }
    if (x.tid() >= 2 * kTileKeys) return;
    const int n = x.tid() % kTileKeys;
    const int64_t j = j0 + n;
    const bool in = j >= task.keys.begin && j < task.keys.end && !task.seq.mask.in_hole(j);
    if (x.tid() < kTileKeys)
      k_at[n] = in ? k_rows.row(j) : nullptr;
    else
      v_at[n] = in ? v_rows.row(j) : nullptr;
  }

  // Elements [d0, d0 + dims) of the tile's rows, widened.
  ATTEND_DEVICE void stage_q(Thread& x, int64_t d0, int dims) {
    for (int e = x.tid(); e < kTileRows * kTileDims; e += kTiles.threads) {
      const int row = e / kTileDims, d = e % kTileDims;
      const std::byte* from = rows[row].q;
      q[row][d] = from == nullptr || d >= dims
                      ? 0.0f
                      : load(from + (d0 + d) * q_dim * size_bytes(q_dtype), q_dtype);
    }
  }

  // Elements [d0, d0 + dims) of this step's keys, widened; zeros where a key has no address.
  ATTEND_DEVICE void stage_keys(Thread& x, const KeyRows& from, const std::byte* const* at,
                                int64_t d0, int dims) {
    for (int e = x.tid(); e < kTileKeys * kTileDims; e += kTiles.threads) {
      const int key = e / kTileDims, d = e % kTileDims;
      keys[key][d] =
          at[key] == nullptr || d >= dims ? 0.0f : from.value(at[key], key >= own_from, d0 + d);
    }
  }

  // Contract 3, for one pair; kind is what splash's plan says of the tile.
  ATTEND_DEVICE bool sees(const TileRow& row, int64_t j, TileKind kind) const {
    if (j < task.keys.begin || j >= task.keys.end) return false;
    if (kind == TileKind::kFull) return row.q != nullptr;
    return j >= row.keys.begin && j < row.keys.end && !task.seq.mask.in_hole(j) &&
           words.keeps(row.words, j);
  }

  // A key that no row of the tile sees counts as zeros, whatever v holds there.
  ATTEND_DEVICE void drop_unseen(Thread& x) {
    if (x.tid() >= kTileKeys) return;
    bool any = false;
    for (int w = 0; w < kTiles.threads / Thread::kWarp; ++w) any |= seen[w][x.tid()];
    if (!any) v_at[x.tid()] = nullptr;
  }

 private:
  int64_t q_dim;
  DType q_dtype;

  ATTEND_DEVICE void fill_row(const TilesCall& call, int r) {
    TileRow row{};
    const RowsView q_rows = rows_of(call.args.q, task.seq.b, task.seq.q_first);
    if (r == 0) {
      q_dim = q_rows.dim;
      q_dtype = q_rows.dtype;
    }
    if (r < task.rows()) {
      const int64_t i = task.position(r), head = task.head(r);
      row.q = q_rows.at(i, head);
      row.keys = task.seq.mask.keys(i);
      row.words = KeyWords(call.params, task.seq).row(task.seq.b, head, i);
      row.position = i + task.seq.mask.d;
      row.dropout_row = call.first_row + i;
      row.dropout_head = call.first_head + task.seq.b * call.args.q.dim(-2) + head;
      row.slope = alibi_slope(call.params.alibi_slopes, task.seq.b, head);
    }
    rows[r] = row;
  }
};
static_assert(sizeof(TilesShared) <= kTilesSharedBytes);

}  // namespace attend::gpu
