#pragma once
// What the emulated matrix instructions have in common: 16-bit elements, and the product in f32.
#include <cmath>
#include <cstdint>

#include "ops/common/element.h"
#include "tests/simt/executor/thread.h"

namespace attend::gpu::unit {

template <class T>
float widened(uint32_t bits) {
  const auto x = static_cast<uint16_t>(bits);
  return T::kDType == DType::kF16 ? f16_to_f32(x) : bf16_to_f32(x);
}
// Element n of a lane's operand.
template <class T>
float part(const uint32_t* words, int n) {
  return widened<T>(words[n / 2] >> (n % 2 * 16) & 0xffffu);
}

template <class T>
uint32_t pack(float lo, float hi) {
  const auto bits = [](float x) -> uint32_t {
    return T::kDType == DType::kF16 ? f32_to_f16(x) : f32_to_bf16(x);
  };
  return bits(lo) | bits(hi) << 16;
}

inline int again(int v) { return v; }
inline void end_part() {}
inline float exp2(float x) { return std::exp2(x); }

// c += a b, products and sums in f32; how hardware rounds in between is not specified.
template <int m, int n, int k>
void add_product(const float (&a)[m][k], const float (&b)[k][n], float (&c)[m][n]) {
  for (int i = 0; i < m; ++i)
    for (int l = 0; l < k; ++l)
      for (int j = 0; j < n; ++j) c[i][j] += a[i][l] * b[l][j];
}

struct ProductArgs {
  float* c;
  const uint32_t *a, *b;
};

}  // namespace attend::gpu::unit
