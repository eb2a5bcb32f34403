#pragma once
// AMD's matrix instruction v_wmma_f32_16x16x16_{f16, bf16} in a wave of 32, emulated from the RDNA 3
// ISA (7.9, "Wave Matrix Multiply Accumulate"): operands are held by lanes 0-15 and again by lanes
// 16-31, and where the two differ the result is not defined: NaN here.
#include "tests/simt/executor/matrix_product.h"

namespace attend::gpu::unit {

template <class T>
struct Product {
  using Lanes = simt::Lanes<ProductArgs>;
  static constexpr int kColumns = 16;

  static float a(Lanes lanes, int i, int k) { return twice(lanes[i].a, lanes[i + 16].a, k); }
  static float b(Lanes lanes, int k, int j) { return twice(lanes[j].b, lanes[j + 16].b, k); }
  static float& c(Lanes lanes, int i, int j) { return lanes[i % 2 == 0 ? j : j + 16].c[i >> 1]; }

 private:
  static float twice(const uint32_t* one, const uint32_t* other, int k) {
    return one[k >> 1] == other[k >> 1] ? part<T>(one, k) : NAN;
  }
};

}  // namespace attend::gpu::unit
