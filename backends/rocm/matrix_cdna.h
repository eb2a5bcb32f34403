#pragma once
// Matrix<T> by v_mfma_f32_16x16x16 of a wave of 64. A lane's accumulators are keys 4 (lane / 16) + e
// of its row, and rounded to 16 bits they are the second operand of the next product as they stand.
//
// A product of scores is two instructions, so that a lane reads 16 bytes at a time: step n takes
// dims 8 (lane / 16) + 4 n + (0..3) from both operands.
#include "backends/rocm/matrix_transposed.h"

namespace attend::gpu {

template <class T>
struct Matrix : MatrixTransposed<MatrixUnit::kMfma16> {
  static constexpr int kDepth = 32;

  struct Rows {
    uint32_t w[4];
  };
  using Keys = Rows;
  struct Values {
    uint32_t w[2];
  };
  using Weights = Values;

  static ATTEND_DEVICE int rows_row(int lane) { return lane % 16; }
  static ATTEND_DEVICE int rows_dim(int lane) { return lane / 16 * 8; }
  template <int pitch>
  static ATTEND_DEVICE int rows_at(int lane) {
    return rows_row(lane) * pitch + rows_dim(lane);
  }
  template <int pitch>
  static ATTEND_DEVICE int keys_at(int lane) {
    return rows_at<pitch>(lane);
  }
  template <int pitch>
  static ATTEND_DEVICE int values_at(int lane) {
    return lane % 16 * pitch + lane / 16 * 4;
  }

  static ATTEND_DEVICE Rows rows(Thread&, const uint16_t* at) {
    const Chunk c = *reinterpret_cast<const Chunk*>(at);
    return {{c.w[0], c.w[1], c.w[2], c.w[3]}};
  }
  static ATTEND_DEVICE Keys keys(Thread& x, const uint16_t* at) { return rows(x, at); }
  static ATTEND_DEVICE Values values(Thread&, const uint16_t* at) {
    struct alignas(8) Words {
      uint32_t w[2];
    };
    const Words c = *reinterpret_cast<const Words*>(at);
    return {{c.w[0], c.w[1]}};
  }
  static ATTEND_DEVICE Weights weights(Thread&, const float* p) {
    return {{unit::pack<T>(p[0], p[1]), unit::pack<T>(p[2], p[3])}};
  }
  static ATTEND_DEVICE void score(Thread& x, float* s, const Rows& q, const Keys& k) {
    unit::multiply<T>(x, s, k.w, q.w);
    unit::multiply<T>(x, s, k.w + 2, q.w + 2);
  }
  static ATTEND_DEVICE void accumulate(Thread& x, float* o, const Weights& p, const Values& v) {
    unit::multiply<T>(x, o, v.w, p.w);
  }
};

}  // namespace attend::gpu
