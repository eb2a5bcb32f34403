#pragma once
// Matrix<T> by v_wmma_f32_16x16x16 of a wave of 32. Accumulator e of a lane is row 2 e + lane / 16 of
// the product; with the rows of the first operand read in the order below, that is key (or dim)
// 8 (lane / 16) + e. Operands are 16 elements a lane, the same in lanes 16 apart, so weights are
// exchanged between these.
#include "backends/rocm/matrix_transposed.h"

namespace attend::gpu {

template <class T>
struct Matrix : MatrixTransposed<MatrixUnit::kWmma16> {
  static constexpr int kDepth = 16;

  struct Rows {
    uint32_t w[8];
  };
  using Keys = Rows;
  using Values = Rows;
  using Weights = Rows;

  template <int pitch>
  static ATTEND_DEVICE int rows_at(int lane) {
    return lane % 16 * pitch;
  }
  // Row 2 e + n of the operand is key 8 n + e.
  template <int pitch>
  static ATTEND_DEVICE int keys_at(int lane) {
    return (lane % 2 * 8 + lane % 16 / 2) * pitch;
  }
  template <int pitch>
  static ATTEND_DEVICE int values_at(int lane) {
    return keys_at<pitch>(lane);
  }

  static ATTEND_DEVICE Rows rows(Thread&, const uint16_t* at) {
    const auto* chunks = reinterpret_cast<const Chunk*>(at);
    const Chunk a = chunks[0], b = chunks[1];
    return {{a.w[0], a.w[1], a.w[2], a.w[3], b.w[0], b.w[1], b.w[2], b.w[3]}};
  }
  static ATTEND_DEVICE Keys keys(Thread& x, const uint16_t* at) { return rows(x, at); }
  static ATTEND_DEVICE Values values(Thread& x, const uint16_t* at) { return rows(x, at); }
  static ATTEND_DEVICE Weights weights(Thread& x, const float* p) {
    Weights both;
    const bool upper = x.lane() >= 16;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const uint32_t own = unit::pack<T>(p[2 * n], p[2 * n + 1]), other = x.shfl_xor(own, 16);
      both.w[n] = upper ? other : own;
      both.w[4 + n] = upper ? own : other;
    }
    return both;
  }
  static ATTEND_DEVICE void score(Thread& x, float* s, const Rows& q, const Keys& k) {
    unit::multiply<T>(x, s, k.w, q.w);
  }
  static ATTEND_DEVICE void accumulate(Thread& x, float* o, const Weights& p, const Values& v) {
    unit::multiply<T>(x, o, v.w, p.w);
  }
};

}  // namespace attend::gpu
