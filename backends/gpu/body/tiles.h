#pragma once
// tiles: exact attention with an online softmax in f32, for any dtype, stride and dimension; the row
// behind every operator that no tuned kernel takes, and the reference of those.
//
//   block    kTileRows stacked rows of one sequence and kv head (tile_task.h), 128 threads: a team of
//            eight shares two rows and holds their state and their accumulators in registers
//   per step kTileKeys keys: scores from slices of kTileDims elements of q and k in shared memory,
//            softmax, weights to shared memory, then v in slices
//   shared   what the threads of a block have in common is written down once (tiles_shared.h)
//   traffic  k and v once a block, q once a step; all widened to f32 on the way into shared memory
//   limits   two FMA for three reads of shared memory; a v_dim beyond kTileVDims is cut into slices,
//            each a block that computes the scores anew
//   hidden   keys that no row of the tile may see are never read and count as zeros, so that NaN
//            there reaches nothing
#include "backends/gpu/body/row_finish.h"
#include "backends/gpu/body/tiles_shared.h"
#include "ops/common/online_softmax.h"
#include "ops/common/score.h"

namespace attend::gpu {

class Tiles {
 public:
  using Args = TilesCall;
  static constexpr int kThreads = kTiles.threads;

  static ATTEND_DEVICE void run(Thread& x, const TilesCall& call) {
    auto& shared = *reinterpret_cast<TilesShared*>(x.shared());
    if (x.tid() == 0)
      shared.live = find_task(call, BlockPlace(call.grid, x.block().x), shared.task);
    x.sync();
    if (!shared.live) return;
    shared.fill(x, call);
    Tiles tile(x, call, shared);
    const KeyRange keys = shared.task.keys;
    for (int64_t j0 = keys.begin / kTileKeys * kTileKeys; j0 < keys.end; j0 += kTileKeys)
      tile.attend(j0);
    tile.finish();
  }

 private:
  static constexpr int kTeam = 8;                               // threads that share rows
  static constexpr int kRows = kTileRows / (kThreads / kTeam);  // of a thread: 2
  static constexpr int kKeys = kTileKeys / kTeam;               // of a thread: 4
  static constexpr int kSlices = kTileVDims / kTileDims;
  static constexpr int kDims = kTileDims / kTeam;  // of a thread in a slice: 8

  Thread& x;
  const TilesCall& call;
  TilesShared& shared;
  const int member, first;       // of the team, the team's first row
  const bool idle;               // none of the team's rows is there
  const int64_t v_first, v_end;  // elements of v that this block has
  OnlineSoftmax state[kRows];
  float out[kRows][kSlices * kDims] = {};

  ATTEND_DEVICE Tiles(Thread& thread, const TilesCall& tiles_call, TilesShared& block)
      : x(thread),
        call(tiles_call),
        shared(block),
        member(x.tid() % kTeam),
        first(x.tid() / kTeam * kRows),
        idle(first >= block.task.rows()),
        v_first(int64_t{x.block().y} * kTileVDims),
        v_end(v_first + kTileVDims < call.args.v.dim(-1) ? v_first + kTileVDims
                                                         : call.args.v.dim(-1)) {}

  // One step of the online softmax: keys [j0, j0 + kTileKeys).
  ATTEND_DEVICE void attend(int64_t j0) {
    const int64_t left = shared.task.seq.k_len - j0;
    TileKind kind = TileKind::kPartial;
    if (call.plan.kinds != nullptr)
      kind = planned(call.plan, shared.task, j0, j0 + (left < kTileKeys ? left : kTileKeys));
    if (kind == TileKind::kSkip) return;
    x.sync();  // the last step's addresses and weights have been read
    shared.locate(x, j0);
    float s[kRows][kKeys] = {};
    scores(s);
    weigh(j0, kind, s);
    accumulate();
  }

  ATTEND_DEVICE void scores(float (&s)[kRows][kKeys]) {
    const int64_t head_dim = call.args.q.dim(-1);
    for (int64_t d0 = 0; d0 < head_dim; d0 += kTileDims) {
      const int dims = static_cast<int>(head_dim - d0 < kTileDims ? head_dim - d0 : kTileDims);
      x.sync();  // addresses are there, the last slice has been read
      shared.stage_q(x, d0, dims);
      shared.stage_keys(x, shared.k_rows, shared.k_at, d0, dims);
      x.sync();
      if (idle) continue;
      for (int d = 0; d < dims; ++d) {
        float q[kRows];
#pragma unroll
        for (int r = 0; r < kRows; ++r) q[r] = shared.q[first + r][d];
#pragma unroll
        for (int k = 0; k < kKeys; ++k) {
          const float key = shared.keys[member + k * kTeam][d];
#pragma unroll
          for (int r = 0; r < kRows; ++r) s[r][k] += q[r] * key;
        }
      }
    }
  }

  // Steps 1 to 6 of the score order (attention_params.h).
  ATTEND_DEVICE void weigh(int64_t j0, TileKind kind, float (&s)[kRows][kKeys]) {
    uint32_t seen = 0;  // bit k: some row of this thread sees key k
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const TileRow& row = shared.rows[first + r];
      const ScoreMod mod{*call.params.softmax_scale, call.params.softcap, row.slope};
      float top = -math::kInfinity;
#pragma unroll
      for (int k = 0; k < kKeys; ++k) {
        const int64_t j = j0 + member + k * kTeam;
        // A bias of -inf is a mask: it selects, so that a NaN in k stays behind it.
        const bool sees = shared.sees(row, j, kind);
        const float bias = sees ? shared.words.bias_of(row.words, j) : -math::kInfinity;
        float score = -math::kInfinity;
        if (bias != -math::kInfinity)
          score = mod.biased(mod.capped(mod.scaled(s[r][k])), bias,
                             math::abs(static_cast<float>(row.position - j)));
        if (score != -math::kInfinity) seen |= 1u << k;
        s[r][k] = score;
        top = math::max(top, score);
      }
      for (int m = 1; m < kTeam; m *= 2) top = math::max(top, x.shfl_xor(top, m));
      const float factor = state[r].admit(top), base = state[r].base();
      float sum = 0.0f;
#pragma unroll
      for (int k = 0; k < kKeys; ++k) {
        const float weight = math::exp(s[r][k] - base);
        sum += weight;
        shared.weights[first + r][member + k * kTeam] =
            dropped(row, j0 + member + k * kTeam) ? 0.0f : weight;
      }
      for (int m = 1; m < kTeam; m *= 2) sum += x.shfl_xor(sum, m);
      state[r].l += sum;
#pragma unroll
      for (int d = 0; d < kSlices * kDims; ++d) out[r][d] *= factor;
    }
    if (!shared.words.hide()) return;
    // Lanes of a warp with the same member ask for the same keys.
    for (int m = kTeam; m < Thread::kWarp; m *= 2) seen |= x.shfl_xor(seen, m);
    if (x.lane() >= kTeam) return;
#pragma unroll
    for (int k = 0; k < kKeys; ++k)
      shared.seen[x.warp()][member + k * kTeam] = (seen >> k & 1u) != 0;
  }

  ATTEND_DEVICE bool dropped(const TileRow& row, int64_t j) const {
    const Dropout& dropout = call.dropout;
    if (dropout.threshold == 0) return false;
    const Philox4x32 drawn = dropout.words(row.dropout_head, row.dropout_row, call.first_key + j);
    return !dropout.keeps(drawn, call.first_key + j);
  }

  ATTEND_DEVICE void accumulate() {
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      const int64_t d0 = v_first + slice * kTileDims;
      if (d0 >= v_end) break;
      x.sync();  // weights are there, the last slice has been read
      if (slice == 0 && shared.words.hide()) {
        shared.drop_unseen(x);
        x.sync();
      }
      shared.stage_keys(x, shared.v_rows, shared.v_at, d0,
                        static_cast<int>(v_end - d0 < kTileDims ? v_end - d0 : int64_t{kTileDims}));
      x.sync();
      if (idle) continue;
#pragma unroll 1
      for (int key = 0; key < kTileKeys; ++key) {
        float weight[kRows];
#pragma unroll
        for (int r = 0; r < kRows; ++r) weight[r] = shared.weights[first + r][key];
#pragma unroll
        for (int d = 0; d < kDims; ++d) {
          const float value = shared.keys[key][member + d * kTeam];
#pragma unroll
          for (int r = 0; r < kRows; ++r) out[r][slice * kDims + d] += weight[r] * value;
        }
      }
    }
  }

  ATTEND_DEVICE void finish() const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= shared.task.rows()) continue;
      if (shared.task.is_cut())
        leave_record(r);
      else
        write_row(r);
    }
  }

  ATTEND_DEVICE void leave_record(int r) const {
    const TileRecord record(call, shared.task.record);
    const int row = first + r;
    const int64_t v_dim = call.args.v.dim(-1);
    if (member == 0 && v_first == 0) {
      record.m[row] = state[r].m;
      record.l[row] = state[r].l;
    }
#pragma unroll
    for (int n = 0; n < kSlices * kDims; ++n)
      if (dim_of(n) < v_end) record.out[row * v_dim + dim_of(n)] = out[r][n];
  }

  ATTEND_DEVICE void write_row(int r) const {
    const RowFinish row(call, shared.task, shared.output, first + r, state[r]);
#pragma unroll
    for (int n = 0; n < kSlices * kDims; ++n)
      if (dim_of(n) < v_end) row.store_out(dim_of(n), out[r][n]);
    if (member == 0 && v_first == 0) row.store_lse();
  }
  ATTEND_DEVICE int64_t dim_of(int n) const {
    return v_first + n / kDims * kTileDims + n % kDims * kTeam + member;
  }
};

}  // namespace attend::gpu
