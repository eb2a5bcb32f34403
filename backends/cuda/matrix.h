#pragma once
// Matrix<T> by mma.sync 16 x 8 x 16, two of them side by side for 16 columns. Accumulator element e
// of a lane is in row lane / 4 (+ 8) and in columns 2 (lane % 4), + 1 of each half; rounded to 16
// bits in pairs it is the first operand of the next product as it stands.

namespace attend::gpu {

template <class T>
struct Matrix {
  static constexpr MatrixUnit kUnit = MatrixUnit::kMma16x8;
  static constexpr int kDepth = 16, kTile = 8, kSlots = 2;

  static ATTEND_DEVICE constexpr int slot(int e) { return e / 2 % 2; }
  static ATTEND_DEVICE int row(int lane, int slot) { return lane / 4 + 8 * slot; }
  static ATTEND_DEVICE int column(int lane, int e) { return e / 4 * 8 + lane % 4 * 2 + e % 2; }
  template <class Op>
  static ATTEND_DEVICE float over_row(Thread& x, float v, Op op) {
    v = op(v, x.shfl_xor(v, 1));
    return op(v, x.shfl_xor(v, 2));
  }

  struct Rows {
    uint32_t w[4];
  };
  using Keys = Rows;
  using Values = Rows;
  using Weights = Rows;

  // The four 8 x 8 matrices of a load, by the lanes that give their rows: rows 0-7 and 8-15 of dims
  // 0-7, then of dims 8-15; for keys, which are columns, dims 0-7 and 8-15 of keys 0-7 first.
  template <int pitch>
  static ATTEND_DEVICE int rows_at(int lane) {
    return lane % 16 * pitch + lane / 16 * 8;
  }
  template <int pitch>
  static ATTEND_DEVICE int keys_at(int lane) {
    return (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 8;
  }
  template <int pitch>
  static ATTEND_DEVICE int values_at(int lane) {
    return rows_at<pitch>(lane);
  }
  template <int pitch>
  static ATTEND_DEVICE constexpr int value_offset(int key, int dim) {
    return key * pitch + dim;
  }

  static ATTEND_DEVICE Rows rows(Thread& x, const uint16_t* at) {
    Rows r;
    unit::load_8x8x4(x, r.w, at);
    return r;
  }
  static ATTEND_DEVICE Keys keys(Thread& x, const uint16_t* at) { return rows(x, at); }
  static ATTEND_DEVICE Values values(Thread& x, const uint16_t* at) {
    Values v;
    unit::load_8x8x4_transposed(x, v.w, at);
    return v;
  }
  static ATTEND_DEVICE Weights weights(Thread&, const float* p) {
    return {{unit::pack<T>(p[0], p[1]), unit::pack<T>(p[2], p[3]), unit::pack<T>(p[4], p[5]),
             unit::pack<T>(p[6], p[7])}};
  }
  static ATTEND_DEVICE void score(Thread& x, float* s, const Rows& q, const Keys& k) {
    unit::multiply<T>(x, s, q.w, k.w);
    unit::multiply<T>(x, s + 4, q.w, k.w + 2);
  }
  static ATTEND_DEVICE void accumulate(Thread& x, float* o, const Weights& p, const Values& v) {
    score(x, o, p, v);
  }
};

}  // namespace attend::gpu
