#pragma once
#include "backends/gpu/body/matrix_block.h"
#include "backends/gpu/device/matrix.h"

namespace attend::gpu {

inline constexpr float kLn2 = 0.693147180559945309417f;

// The state of a row whose largest score, in binary logarithms, is m.
ATTEND_DEVICE OnlineSoftmax softmax_state(float m, float l) {
  OnlineSoftmax state;
  state.m = m * kLn2;
  state.l = l;
  return state;
}

// The way out of a warp's own rows: rounded to 16 bits, 16 rows at a time through shared memory of the
// warp's own [16 x (kDim + 8)], so that they leave 16 bytes at a time.
template <class T, int kDim>
class MatrixRowsOut {
  using M = Matrix<T>;
  static constexpr int kPitch = matrix_pitch(kDim);

 public:
  ATTEND_DEVICE MatrixRowsOut(Thread& thread, const TilesCall& c, const MatrixBlock& b,
                              int first_row, uint16_t* shared)
      : x(thread), call(c), block(b), row0(first_row), tile(shared) {}

  template <int kRows, int kDims>
  ATTEND_DEVICE void write(const float (&o)[kRows][kDims][M::kTile],
                           const float (&m)[kRows][M::kSlots], const float (&l)[kRows][M::kSlots],
                           float unit) const {
    const int lane = x.lane();
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float factor[M::kSlots];
#pragma unroll
      for (int slot = 0; slot < M::kSlots; ++slot) {
        const int row = row0 + r * 16 + M::row(lane, slot);
        factor[slot] = 0.0f;
        if (row >= block.rows) continue;
        const RowFinish finish(call, block.task, block.output, row,
                               softmax_state(m[r][slot] * unit, l[r][slot]));
        factor[slot] = finish.empty ? 0.0f : finish.factor * block.v_rows.scale;
        if (M::column(lane, 0) == 0) finish.store_lse();
      }
#pragma unroll
      for (int d = 0; d < kDims; ++d)
#pragma unroll
        for (int e = 0; e < M::kTile; e += 2) {
          const int slot = M::slot(e), row = M::row(lane, slot);
          // No visible key: 0, whatever other rows of the block have put beside it.
          const bool empty = l[r][slot] == 0.0f;
          *reinterpret_cast<uint32_t*>(tile + row * kPitch + d * 16 + M::column(lane, e)) =
              unit::pack<T>(empty ? 0.0f : o[r][d][e] * factor[slot],
                            empty ? 0.0f : o[r][d][e + 1] * factor[slot]);
        }
      x.warp_sync();
      copy_out(row0 + r * 16);
      x.warp_sync();  // the next rows take the place of these
    }
  }

 private:
  ATTEND_DEVICE void copy_out(int first) const {
    const RowsView& out = block.output.out;
    const int chunks = static_cast<int>(call.args.v.dim(-1)) / 8;
#pragma unroll 1
    for (int n = x.lane(); n < 16 * chunks; n += Thread::kWarp) {
      const int row = n / chunks, d = n % chunks * 8;
      if (first + row >= block.rows) break;
      std::byte* to = out.at(block.row_position(first + row), block.task.head(first + row)) + 2 * d;
      *reinterpret_cast<Chunk*>(to) = *reinterpret_cast<const Chunk*>(tile + row * kPitch + d);
    }
  }

  Thread& x;
  const TilesCall& call;
  const MatrixBlock& block;
  const int row0;
  uint16_t* const tile;
};

// Warps that attend to different keys of the same 16 rows: joined in shared memory [warps x 16 x
// (kDim + 4)] f32, after [warps x 16] of m and of l. A part of cut keys leaves its record.
template <class T, int kDim, int kWarps>
class MatrixJoin {
  using M = Matrix<T>;
  static constexpr int kPitch = kDim + 4, kThreads = kWarps * Thread::kWarp;

 public:
  ATTEND_DEVICE MatrixJoin(Thread& thread, const TilesCall& c, const MatrixBlock& b, char* shared)
      : x(thread),
        call(c),
        block(b),
        all_m(reinterpret_cast<float*>(shared)),
        all_l(all_m + kWarps * 16),
        all_o(all_l + kWarps * 16) {}

  template <int kDims>
  ATTEND_DEVICE void write(const float (&o)[kDims][M::kTile], const float (&m)[M::kSlots],
                           const float (&l)[M::kSlots], float unit) const {
    const int lane = x.lane();
#pragma unroll
    for (int slot = 0; slot < M::kSlots; ++slot)
      if (M::column(lane, 0) == 0) {
        all_m[x.warp() * 16 + M::row(lane, slot)] = m[slot] * unit;
        all_l[x.warp() * 16 + M::row(lane, slot)] = l[slot];
      }
#pragma unroll
    for (int d = 0; d < kDims; ++d)
#pragma unroll
      for (int e = 0; e < M::kTile; ++e)
        all_o[(x.warp() * 16 + M::row(lane, M::slot(e))) * kPitch + d * 16 + M::column(lane, e)] =
            o[d][e];
    x.sync();
    const int v_dim = static_cast<int>(call.args.v.dim(-1)), chunks = v_dim / 8;
    for (int n = x.tid(); n < 16 * chunks; n += kThreads) {
      const int row = n / chunks, d = n % chunks * 8;
      if (row < block.rows) write_chunk(row, d, v_dim);
    }
  }

 private:
  ATTEND_DEVICE void write_chunk(int row, int d, int v_dim) const {
    float top = -math::kInfinity, sum = 0.0f, part[8] = {};
#pragma unroll
    for (int w = 0; w < kWarps; ++w) top = math::max(top, all_m[w * 16 + row]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float m = all_m[w * 16 + row];
      // NaN is not skipped: it shows in the sum.
      if (m == -math::kInfinity && all_l[w * 16 + row] == 0.0f) continue;
      const float factor = unit::exp2(m - top);
      sum += all_l[w * 16 + row] * factor;
#pragma unroll
      for (int i = 0; i < 8; ++i) part[i] += all_o[(w * 16 + row) * kPitch + d + i] * factor;
    }
    const OnlineSoftmax state = softmax_state(top, sum);
#pragma unroll
    for (int i = 0; i < 8; ++i) part[i] *= block.v_rows.scale;
    if (block.task.is_cut()) {
      const TileRecord record(call, block.task.record);
#pragma unroll
      for (int i = 0; i < 8; ++i) record.out[int64_t{row} * v_dim + d + i] = part[i];
      if (d > 0) return;
      record.m[row] = state.m;
      record.l[row] = state.l;
      return;
    }
    const RowFinish finish(call, block.task, block.output, row, state);
    Chunk c;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      c.w[i] = finish.empty
                   ? 0
                   : unit::pack<T>(part[2 * i] * finish.factor, part[2 * i + 1] * finish.factor);
    *reinterpret_cast<Chunk*>(block.output.out.at(finish.i, finish.head) + 2 * d) = c;
    if (d == 0) finish.store_lse();
  }

  Thread& x;
  const TilesCall& call;
  const MatrixBlock& block;
  float *const all_m, *const all_l, *const all_o;
};

}  // namespace attend::gpu
