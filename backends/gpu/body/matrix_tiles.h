#pragma once
// matrix: exact attention in f16 or bf16 by matrix instructions, the tuned row behind flash, paged,
// decode, splash and sdpa. FlashAttention-2's schedule.
//
//   block    some stacked rows of one sequence and kv head (call/matrix_tiles.h has the shapes).
//            Wide: a warp owns 16 or 32 of them. Narrow, for sequences of at most kSplitRows stacked
//            rows, whose keys are cut into parts: 16 rows, and a warp owns 16 keys of a step
//   per step 64 keys (fewer where shared memory is small): S = Q K^T, softmax in base 2, O += P V;
//            P is S rounded to 16 bits in the registers where it stands
//   moves    Q once; K and V once a block, each through one buffer: V arrives while S is computed,
//            the next K during softmax and O += P V. Two barriers a step.
//   masks    steps that ranges neither cut nor hide run without mask code; others have 64 bits a row
//            in shared memory, from ranges or, key by key, from keep, segments and blocks
//   hidden   keys that no row of the block may see by ranges are not read and count as zeros; where
//            words decide, V of keys that no row sees is overwritten by zeros before it is used
//   sums     of weights before they are rounded, as the lse wants them: f32 outputs are refused
//   limits   one head_dim bucket for q, k and v, unit element stride, rows of 16 bytes
#include "backends/gpu/body/matrix_finish.h"
#include "backends/gpu/body/matrix_scores.h"
#include "backends/gpu/body/matrix_stage.h"

namespace attend::gpu {

template <class T, int kDim, bool kWide>
class MatrixTiles {
  using M = Matrix<T>;
  static constexpr MatrixShape kShape = matrix_shape(M::kUnit, kDim, kWide);
  static constexpr MatrixLayout kLayout{M::kUnit, kDim, kWide};
  static constexpr int kRows = kShape.row_tiles, kKeys = kShape.warp_keys() / 16, kDims = kDim / 16;
  static constexpr int kPitch = matrix_pitch(kDim),
                       kValuePitch = matrix_value_pitch(M::kUnit, kDim, kShape.keys);
  using Scores = MatrixScores<T, kDim, kWide>;
  using Fragment = typename Scores::Fragment;
  using Outputs = float[kRows][kDims][M::kTile];
  static constexpr bool kAlone = !kShape.values_transposed;

 public:
  using Args = TilesCall;
  static constexpr int kThreads = kShape.threads();
  // Registers for two blocks of four warps; narrow blocks hide the way to memory by their number.
  static constexpr int kBlocks = !kWide && kDim <= 128 ? 3 : 2;
  static_assert(kShape.warp == Thread::kWarp);

  static ATTEND_DEVICE void run(Thread& x, const TilesCall& call) {
    auto& block = *reinterpret_cast<MatrixBlock*>(x.shared() + kLayout.task);
    if (x.tid() == 0)
      block.live =
          find_task(call, BlockPlace(call.grid, x.block().x), block.task) && mine(call, block.task);
    x.sync();
    if (!block.live) return;
    block.fill(x, call);
    MatrixTiles tile(x, call, block);
    tile.attend();
    tile.finish();
  }

 private:
  // Sequences of few rows are the narrow kernel's, in whatever batch they come: a row's bits do not
  // depend on it.
  static ATTEND_DEVICE bool mine(const TilesCall& call, const TileTask& task) {
    // A plan of no keys has no kinds, and still is one.
    const bool few = call.plan.keys == 0 && task.seq.q_len * task.stack <= kSplitRows;
    return few != kWide;
  }

  ATTEND_DEVICE MatrixTiles(Thread& thread, const TilesCall& tiles_call, const MatrixBlock& of)
      : x(thread),
        call(tiles_call),
        block(of),
        addresses(reinterpret_cast<const std::byte**>(x.shared() + kLayout.addresses)),
        q_tile(reinterpret_cast<uint16_t*>(x.shared() + kLayout.q)),
        k_tile(reinterpret_cast<uint16_t*>(x.shared() + kLayout.k)),
        v_tile(reinterpret_cast<uint16_t*>(x.shared() + kLayout.v)),
        scores(x, call, block) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int slot = 0; slot < M::kSlots; ++slot) {
        m[r][slot] = -math::kInfinity;
        l[r][slot] = 0.0f;
      }
#pragma unroll
      for (int d = 0; d < kDims; ++d)
#pragma unroll
        for (int e = 0; e < M::kTile; ++e) o[r][d][e] = 0.0f;
    }
  }

  ATTEND_DEVICE void attend() {
    load_q();
    MatrixBlock::Step step =
        block.next_step(call, block.begin - block.begin % kShape.keys, kShape.keys);
    if (step.j >= block.end) return;
    int turn = 0;
    locate(step.j, turn);
    x.sync();
    fetch_k(turn);
    land_k(turn);
    x.sync();
    for (;;) {
      // K of this step is there, V's place is free.
      fetch_v(turn);
      const MatrixBlock::Step next = block.next_step(call, step.j + kShape.keys, kShape.keys);
      locate(next.j, turn ^ 1);
      const bool sees = scores.sees(step.j + key0()),
                 selects = block.selects && step.kind != TileKind::kFull,
                 hides = selects || block.biased;
      Fragment s;
      uint64_t seen = 0;
      if (sees) {
        scores.make_masks(step.j + key0(), selects);
        multiply_q_k(s);
        unit::end_part(s);
        seen = scores.finish(step.j + key0(), s);
      }
      if (hides) leave_seen(seen);
      land_v(turn);
      x.sync();  // V of this step is there, K's place is free
      const bool more = next.j < block.end;
      if (more) fetch_k(turn ^ 1);
      if (hides) drop_unseen();
      if (sees) {
        soften(s);
        unit::end_part();
        multiply_p_v(s);
      }
      if (!more) return;
      land_k(turn ^ 1);
      x.sync();
      step = next;
      turn ^= 1;
    }
  }

  // Where the rows of K and V of the step at j are: [turn][K, V][key].
  ATTEND_DEVICE void locate(int32_t j, int turn) const {
#pragma unroll 1
    for (int n = unit::again(x.tid()); n < 2 * kShape.keys; n += kThreads) {
      const bool is_k = n < kShape.keys;
      addresses[turn * 2 * kShape.keys + n] =
          block.key_row(is_k ? block.k_rows : block.v_rows, j + (is_k ? n : n - kShape.keys));
    }
  }
  ATTEND_DEVICE const std::byte* const* k_rows(int turn) const {
    return addresses + turn * 2 * kShape.keys;
  }
  ATTEND_DEVICE const std::byte* const* v_rows(int turn) const {
    return addresses + (turn * 2 + 1) * kShape.keys;
  }
  ATTEND_DEVICE void fetch_k(int turn) {
    const TensorView& k = call.args.k;
    k_stage.fetch(x, k_tile, k_rows(turn), k.dtype, static_cast<int>(k.dim(-1)), k.data);
  }
  ATTEND_DEVICE void land_k(int turn) {
    const TensorView& k = call.args.k;
    k_stage.land(x, k_tile, k_rows(turn), k.dtype, static_cast<int>(k.dim(-1)));
  }
  ATTEND_DEVICE void fetch_v(int turn) {
    const TensorView& v = call.args.v;
    v_stage.fetch(x, v_tile, v_rows(turn), v.dtype, static_cast<int>(v.dim(-1)), v.data);
  }
  ATTEND_DEVICE void land_v(int turn) {
    const TensorView& v = call.args.v;
    v_stage.land(x, v_tile, v_rows(turn), v.dtype, static_cast<int>(v.dim(-1)));
  }

  // Rows of Q beyond the block's, and dims beyond head_dim, are zeros.
  ATTEND_DEVICE void load_q() {
    const RowsView q = rows_of(call.args.q, block.task.seq.b, block.task.seq.q_first);
    const int dim = static_cast<int>(call.args.q.dim(-1));
    for (int r = x.tid(); r < kShape.rows(); r += kThreads)
      addresses[r] = r < block.rows ? q.at(block.row_position(r), block.task.head(r)) : nullptr;
    x.sync();
    if constexpr (kShape.q_in_shared) {
      MatrixStage<T, kShape.rows(), kDim, kThreads, kPitch, false, kAlone> stage;
      stage.fetch(x, q_tile, addresses, T::kDType, dim, call.args.q.data);
      stage.land(x, q_tile, addresses, T::kDType, dim);
    } else {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const std::byte* row = addresses[row0() + r * 16 + M::rows_row(x.lane())];
#pragma unroll
        for (int d = 0; d < kDim / M::kDepth; ++d) {
          const int at = d * M::kDepth + M::rows_dim(x.lane());
          const Chunk c = row != nullptr && at < dim ? chunk_of<T>(row, T::kDType, at) : Chunk{};
          q_rows[r][d] = {{c.w[0], c.w[1], c.w[2], c.w[3]}};
        }
      }
    }
    x.sync();  // the addresses have been read
  }

  ATTEND_DEVICE void multiply_q_k(Fragment& s) const {
    const int lane = unit::again(x.lane());
    const uint16_t* q_at = q_tile + row0() * kPitch + M::template rows_at<kPitch>(lane);
    const uint16_t* k_at = k_tile + key0() * kPitch + M::template keys_at<kPitch>(lane);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int k = 0; k < kKeys; ++k)
#pragma unroll
        for (int e = 0; e < M::kTile; ++e) s[r][k][e] = 0.0f;
#pragma unroll
    for (int d = 0; d < kDim / M::kDepth; ++d) {
      typename M::Rows q[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if constexpr (kShape.q_in_shared)
          q[r] = M::rows(x, q_at + r * 16 * kPitch + d * M::kDepth);
        else
          q[r] = q_rows[r][d];
      }
#pragma unroll
      for (int k = 0; k < kKeys; ++k) {
        const auto keys = M::keys(x, k_at + k * 16 * kPitch + d * M::kDepth);
#pragma unroll
        for (int r = 0; r < kRows; ++r) M::score(x, s[r][k], q[r], keys);
      }
      if constexpr (kShape.q_in_shared) unit::end_part();  // Q's share of one step at a time
    }
  }

  // Step 5 of the score order: scores become weights, what was summed before is brought to the new
  // largest score. The sums of weights stay a lane's own until the end.
  ATTEND_DEVICE void soften(Fragment& s) {
    const auto larger = [](float a, float b) { return math::max(a, b); };
    float factor[kRows][M::kSlots];
    bool moved = false;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int slot = 0; slot < M::kSlots; ++slot) {
        float top = m[r][slot];
#pragma unroll
        for (int k = 0; k < kKeys; ++k)
#pragma unroll
          for (int e = 0; e < M::kTile; ++e)
            if (M::slot(e) == slot) top = math::max(top, s[r][k][e]);
        top = M::over_row(x, top, larger);
        // An empty row's base is 0, so that -inf - base is -inf and never NaN.
        const float base = top == -math::kInfinity ? 0.0f : top * block.unit;
        factor[r][slot] = top == m[r][slot] ? 1.0f : unit::exp2(m[r][slot] * block.unit - base);
        moved |= top != m[r][slot];
        m[r][slot] = top;
        float sum = 0.0f;
#pragma unroll
        for (int k = 0; k < kKeys; ++k)
#pragma unroll
          for (int e = 0; e < M::kTile; ++e)
            if (M::slot(e) == slot) {
              s[r][k][e] = unit::exp2(s[r][k][e] * block.unit - base);
              sum += s[r][k][e];
            }
        l[r][slot] = l[r][slot] * factor[r][slot] + sum;
      }
    if (x.ballot(moved) == 0) return;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int d = 0; d < kDims; ++d)
#pragma unroll
        for (int e = 0; e < M::kTile; ++e) o[r][d][e] *= factor[r][M::slot(e)];
  }

  ATTEND_DEVICE void multiply_p_v(const Fragment& s) {
    const uint16_t* v_at = v_tile + M::template value_offset<kValuePitch>(key0(), 0) +
                           M::template values_at<kValuePitch>(unit::again(x.lane()));
#pragma unroll
    for (int k = 0; k < kKeys; ++k) {
      typename M::Weights p[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) p[r] = M::weights(x, s[r][k]);
#pragma unroll
      for (int d = 0; d < kDims; ++d) {
        const auto values =
            M::values(x, v_at + M::template value_offset<kValuePitch>(k * 16, d * 16));
#pragma unroll
        for (int r = 0; r < kRows; ++r) M::accumulate(x, o[r][d], p[r], values);
      }
    }
  }

  // Of the warp: its first row in the block, its first key in a step.
  ATTEND_DEVICE int row0() const { return kWide ? warp() * kShape.warp_rows() : 0; }
  ATTEND_DEVICE int key0() const { return kWide ? 0 : warp() * kShape.warp_keys(); }
  ATTEND_DEVICE int warp() const { return unit::again(x.tid()) / Thread::kWarp; }

  ATTEND_DEVICE uint64_t* seen_by_warps() const {
    return reinterpret_cast<uint64_t*>(x.shared() + kLayout.seen);
  }
  ATTEND_DEVICE void leave_seen(uint64_t keys) const {
    if (x.lane() == 0) seen_by_warps()[x.warp()] = keys << key0();
  }
  // V of keys that no row of the block sees becomes zeros: a weight of 0 would not hide NaN.
  ATTEND_DEVICE void drop_unseen() const {
    uint64_t seen = 0;
    for (int w = 0; w < kShape.warps; ++w) seen |= seen_by_warps()[w];
#pragma unroll 1
    for (int n = unit::again(x.tid()); n < kShape.keys * kDim; n += kThreads)
      if (const int key = n / kDim; (seen >> key & 1) == 0)
        v_tile[M::template value_offset<kValuePitch>(key, n % kDim)] = 0;
    x.sync();
  }

  ATTEND_DEVICE void finish() {
    const auto added = [](float a, float b) { return a + b; };
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int slot = 0; slot < M::kSlots; ++slot) l[r][slot] = M::over_row(x, l[r][slot], added);
    if constexpr (kWide) {
      if constexpr (!kShape.q_in_shared) x.sync();  // the way out is where K and V were
      MatrixRowsOut<T, kDim>(x, call, block, row0(),
                             q_tile + x.warp() * (kShape.q_in_shared ? kRows : 1) * 16 * kPitch)
          .write(o, m, l, block.unit);
    } else {
      x.sync();
      MatrixJoin<T, kDim, kShape.warps>(x, call, block, x.shared() + kLayout.k)
          .write(o[0], m[0], l[0], block.unit);
    }
  }

  Thread& x;
  const TilesCall& call;
  const MatrixBlock& block;
  const std::byte** const addresses;
  uint16_t *const q_tile, *const k_tile, *const v_tile;
  Scores scores;
  MatrixStage<T, kShape.keys, kDim, kThreads, kPitch, false, kAlone> k_stage;
  MatrixStage<T, kShape.keys, kDim, kThreads, kValuePitch, kShape.values_transposed, kAlone>
      v_stage;
  typename M::Rows q_rows[kShape.q_in_shared ? 1 : kRows]
                         [kShape.q_in_shared ? 1 : kDim / M::kDepth];
  Outputs o;
  float m[kRows][M::kSlots], l[kRows][M::kSlots];  // m in the scores' units, l the lane's share
};

}  // namespace attend::gpu
