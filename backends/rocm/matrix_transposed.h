#pragma once
// What the two Matrix<T> of AMD have in common. Both products are computed transposed, S^T = K Q^T
// and O^T = V^T P^T: then a lane's accumulators lie side by side in one row of S, which lanes 16
// apart share.
#include "backends/gpu/call/matrix_tiles.h"
#include "backends/gpu/device/thread.h"

namespace attend::gpu {

template <MatrixUnit unit>
struct MatrixTransposed {
  static constexpr MatrixUnit kUnit = unit;
  static constexpr int kTile = 256 / Thread::kWarp, kSlots = 1;

  static ATTEND_DEVICE constexpr int slot(int) { return 0; }
  static ATTEND_DEVICE int row(int lane, int) { return lane % 16; }
  static ATTEND_DEVICE int column(int lane, int e) { return lane / 16 * kTile + e; }
  template <class Op>
  static ATTEND_DEVICE float over_row(Thread& x, float v, Op op) {
#pragma unroll
    for (int mask = 16; mask < Thread::kWarp; mask *= 2) v = op(v, x.shfl_xor(v, mask));
    return v;
  }
  template <int pitch>
  static ATTEND_DEVICE constexpr int value_offset(int key, int dim) {
    return dim * pitch + key;
  }
};

}  // namespace attend::gpu
