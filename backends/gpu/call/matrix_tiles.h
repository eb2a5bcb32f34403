#pragma once
// Attention by matrix instructions: the shapes of its tiles, which host code and kernels share.
#include <cstdint>

#include "backends/gpu/call/kernel.h"
#include "ops/common/portable.h"

namespace attend::gpu {

// The matrix instructions that the kernels are written for; all of them multiply 16-bit elements and
// add in f32.
enum class MatrixUnit : uint8_t {
  kMma16x8,  // a warp of 32, 16 x 8 x 16
  kMfma16,   // a warp of 64, 16 x 16 x 16
  kWmma16    // a warp of 32, 16 x 16 x 16
};

// What one block works on. Wide: many stacked rows, each warp has some of them against all keys of a
// step. Narrow: 16 stacked rows (decode), each warp has all of them against some of the keys.
struct MatrixShape {
  int warp;       // threads of one
  int warps;      // of a block
  int row_tiles;  // of 16 rows, of a warp
  int keys;       // of a step
  bool wide;
  bool q_in_shared;        // read again at every step; else it stays in registers
  bool values_transposed;  // in shared memory, where no instruction transposes while it reads

  constexpr int threads() const { return warp * warps; }
  constexpr int rows() const { return 16 * row_tiles * (wide ? warps : 1); }  // of a block
  constexpr int warp_rows() const { return 16 * row_tiles; }
  constexpr int warp_keys() const { return wide ? keys : keys / warps; }
};

// dim is the bucket, 64, 128 or 256, of head_dim and v_dim.
constexpr MatrixShape matrix_shape(MatrixUnit unit, int dim, bool wide) {
  if (unit == MatrixUnit::kMfma16) {
    // 64 KiB of shared memory hold K and V of 64 keys up to 128 dims, of 32 keys at 256, for one
    // block; Q is in registers. Eight warps of 32 rows, so that two share a unit's time, one
    // multiplying while the other takes exponentials, and an operand read from shared memory is
    // used twice; at 256 the accumulators of 16 rows fill as many registers.
    if (!wide) return {64, dim <= 128 ? 4 : 2, 1, dim <= 128 ? 64 : 32, false, false, true};
    if (dim <= 128) return {64, 8, 2, 64, true, false, true};
    return {64, 4, 1, 32, true, false, true};
  }
  if (unit == MatrixUnit::kWmma16) {
    // Operands are held twice by a warp, so that accumulators and K's share leave no room for Q.
    if (!wide && dim == 256) return {32, 2, 1, 32, false, true, true};
    return {32, 4, 1, dim <= 128 ? 64 : 16, wide, true, true};
  }
  // FlashAttention-2's shapes: 128 rows x 64 keys in four warps up to 128 dims, where accumulators
  // and scores of two row tiles just fit in 255 registers; 64 x 64 at 256. Two blocks share a
  // multiprocessor, so that one multiplies while the other takes exponentials.
  return {32, 4, wide && dim <= 128 ? 2 : 1, 64, wide, true, false};
}

// Elements from one row of a tile to the next in shared memory. The padding takes rows that are read
// together to different banks: 16 bytes where rows are read 16 bytes at a time, 8 where the
// transposed values are read 8 bytes at a time.
constexpr int matrix_pitch(int dim) { return dim + 8; }
constexpr int matrix_value_pitch(MatrixUnit unit, int dim, int keys) {
  return unit == MatrixUnit::kMma16x8 ? dim + 8 : keys + (unit == MatrixUnit::kMfma16 ? 4 : 8);
}

// How a block lays out its shared memory, in bytes from its start.
struct MatrixLayout {
  static constexpr int kTaskBytes = 1280;  // what all threads know of their block

  static constexpr int kSpanBytes = 16;  // of what a warp's rows see
  static constexpr int kRowBytes = 16;   // of what words add to a row

  int task, addresses, masks, seen, spans, rows, tile, q, k, v, total;

  constexpr MatrixLayout(MatrixUnit unit, int dim, bool wide) : MatrixLayout() {
    const MatrixShape s = matrix_shape(unit, dim, wide);
    const int value_pitch = matrix_value_pitch(unit, dim, s.keys),
              q_bytes = 2 * s.rows() * matrix_pitch(dim), k_bytes = 2 * s.keys * matrix_pitch(dim),
              v_bytes = 2 * value_pitch * (s.values_transposed ? dim : s.keys);
    addresses = task + kTaskBytes;
    // Of K's and V's rows for two steps, or of all rows of Q before the first.
    masks = addresses + 8 * (4 * s.keys > s.rows() ? 4 * s.keys : s.rows());
    seen = masks + 8 * s.warps * s.warp_rows();
    spans = seen + 16 * s.warps;
    rows = spans + kSpanBytes * s.warps;
    tile = rows + kRowBytes * s.warps * s.warp_rows();
    q = (tile + 4 * 256 * s.warps + 127) / 128 * 128;
    k = q + (s.q_in_shared ? q_bytes : 0);
    v = k + k_bytes;
    total = v + v_bytes;
    // Without a place for Q, the outputs leave through that of K and V, 16 rows of each warp at a time.
    const int out_bytes = 2 * 16 * s.warps * matrix_pitch(dim);
    if (!s.q_in_shared && s.wide && k + out_bytes > total) total = k + out_bytes;
  }

 private:
  constexpr MatrixLayout() : task(0), addresses(0), masks(0), seen(0), q(0), k(0), v(0), total(0) {}
};

inline constexpr int kMatrixDims[] = {64, 128, 256};

}  // namespace attend::gpu
