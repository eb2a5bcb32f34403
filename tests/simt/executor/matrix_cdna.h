#pragma once
// AMD's matrix instruction v_mfma_f32_16x16x16_{f16, bf16_1k}, emulated from the layouts that AMD's
// matrix instruction calculator prints: an element of a matrix, the lane that holds it, and as which
// of its own.
#include "tests/simt/executor/matrix_product.h"

namespace attend::gpu::unit {

template <class T>
struct Product {
  using Lanes = simt::Lanes<ProductArgs>;
  static constexpr int kColumns = 16;

  static float a(Lanes lanes, int i, int k) { return part<T>(lanes[(k >> 2 << 4) + i].a, k & 3); }
  static float b(Lanes lanes, int k, int j) { return part<T>(lanes[(k >> 2 << 4) + j].b, k & 3); }
  static float& c(Lanes lanes, int i, int j) { return lanes[(i & ~3) * 4 + j].c[i & 3]; }
};

}  // namespace attend::gpu::unit
