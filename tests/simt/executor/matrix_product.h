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
  return kIsHalf<T> ? f16_to_f32(x) : bf16_to_f32(x);
}
// Element n of a lane's operand.
template <class T>
float part(const uint32_t* words, int n) {
  return widened<T>(words[n / 2] >> (n % 2 * 16) & 0xffffu);
}

template <class T>
uint32_t pack(float lo, float hi) {
  const auto bits = [](float x) -> uint32_t { return kIsHalf<T> ? f32_to_f16(x) : f32_to_bf16(x); };
  return bits(lo) | bits(hi) << 16;
}

inline int again(int v) { return v; }
template <class... Values>
void end_part(Values&...) {}
inline float exp2(float x) { return std::exp2(x); }

struct ProductArgs {
  float* c;
  const uint32_t *a, *b;
};

// The layout of the hardware's matrix instruction c[16 x kColumns] += a[16 x 16] b[16 x kColumns]:
//   static constexpr int kColumns
//   static float a(lanes, i, k), b(lanes, k, j)    an element, from the lane that holds it
//   static float& c(lanes, i, j)
template <class T>
struct Product;

// The instruction: elements are taken from all lanes, multiplied, and handed back. Products and sums
// are in f32; how hardware rounds in between is not specified.
template <class T>
void multiply(const Thread& x, float* c, const uint32_t* a, const uint32_t* b,
              simt::Place at = simt::Place::current()) {
  using Layout = Product<T>;
  ProductArgs args{c, a, b};
  simt::warp_collective(
      x, args,
      [](simt::Lanes<ProductArgs> lanes) {
        constexpr int kColumns = Layout::kColumns;
        float ma[16][16], mb[16][kColumns], mc[16][kColumns];
        for (int n = 0; n < 16; ++n) {
          for (int k = 0; k < 16; ++k) ma[n][k] = Layout::a(lanes, n, k);
          for (int j = 0; j < kColumns; ++j) {
            mb[n][j] = Layout::b(lanes, n, j);
            mc[n][j] = Layout::c(lanes, n, j);
          }
        }
        for (int i = 0; i < 16; ++i)
          for (int k = 0; k < 16; ++k)
            for (int j = 0; j < kColumns; ++j) mc[i][j] += ma[i][k] * mb[k][j];
        for (int i = 0; i < 16; ++i)
          for (int j = 0; j < kColumns; ++j) Layout::c(lanes, i, j) = mc[i][j];
      },
      at);
}

}  // namespace attend::gpu::unit
