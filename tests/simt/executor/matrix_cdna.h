#pragma once
// AMD's matrix instruction v_mfma_f32_16x16x16_{f16, bf16_1k}, emulated from the layouts that AMD's
// matrix instruction calculator prints: an element of a matrix, the lane that holds it, and as which
// of its own.
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
        const auto element = [&](int i, int j) -> float& {
          return lanes[(i & ~3) * 4 + j].c[i & 3];
        };
        for (int n = 0; n < 16; ++n)
          for (int k = 0; k < 16; ++k) {
            ma[n][k] = part<T>(lanes[(k >> 2 << 4) + n].a, k & 3);
            mb[k][n] = part<T>(lanes[(k >> 2 << 4) + n].b, k & 3);
            mc[n][k] = element(n, k);
          }
        add_product(ma, mb, mc);
        for (int i = 0; i < 16; ++i)
          for (int j = 0; j < 16; ++j) element(i, j) = mc[i][j];
      },
      at);
}

}  // namespace attend::gpu::unit
