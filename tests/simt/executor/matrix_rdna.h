#pragma once
// AMD's matrix instruction v_wmma_f32_16x16x16_{f16, bf16} in a wave of 32, emulated from the RDNA 3
// ISA (7.9, "Wave Matrix Multiply Accumulate"): operands are held by lanes 0-15 and again by lanes
// 16-31, and where the two differ the result is not defined: NaN here.
#include "tests/simt/executor/matrix_product.h"

namespace attend::gpu::unit {

template <class T>
void multiply(const Thread& x, float* c, const uint32_t* a, const uint32_t* b,
              simt::Place at = simt::Place::current()) {
  ProductArgs args{c, a, b};
  simt::warp_collective(
      x, args,
      [](simt::Lanes<ProductArgs> lanes) {
        float ma[16][16], mb[16][16], mc[16][16];
        const auto twice = [](const uint32_t* one, const uint32_t* other, int k) {
          return one[k >> 1] == other[k >> 1] ? part<T>(one, k) : NAN;
        };
        const auto element = [&](int i, int j) -> float& {
          return lanes[i % 2 == 0 ? j : j + 16].c[i >> 1];
        };
        for (int n = 0; n < 16; ++n)
          for (int k = 0; k < 16; ++k) {
            ma[n][k] = twice(lanes[n].a, lanes[n + 16].a, k);
            mb[k][n] = twice(lanes[n].b, lanes[n + 16].b, k);
            mc[n][k] = element(n, k);
          }
        add_product(ma, mb, mc);
        for (int i = 0; i < 16; ++i)
          for (int j = 0; j < 16; ++j) element(i, j) = mc[i][j];
      },
      at);
}

}  // namespace attend::gpu::unit
