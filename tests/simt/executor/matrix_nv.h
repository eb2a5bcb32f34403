#pragma once
// NVIDIA's warp-level matrix instructions, emulated from the PTX ISA's pictures: which lane holds
// an element of a matrix, and as which of its own.
#include <cstring>

#include "tests/simt/executor/matrix_product.h"

namespace attend::gpu::unit {

// mma.m16n8k16 (9.7.14, "Matrix Fragments for mma.m16n8k16 with floating point type")
template <class T>
void multiply(const Thread& x, float* c, const uint32_t* a, const uint32_t* b,
              simt::Place at = simt::Place::current()) {
  ProductArgs args{c, a, b};
  simt::warp_collective(
      x, args,
      [](simt::Lanes<ProductArgs> lanes) {
        float ma[16][16], mb[16][8], mc[16][8];
        for (int r = 0; r < 16; ++r)
          for (int k = 0; k < 16; ++k)
            ma[r][k] = part<T>(lanes[r % 8 * 4 + k % 8 / 2].a, k / 8 * 4 + r / 8 * 2 + k % 2);
        for (int k = 0; k < 16; ++k)
          for (int n = 0; n < 8; ++n)
            mb[k][n] = part<T>(lanes[n * 4 + k % 8 / 2].b, k / 8 * 2 + k % 2);
        const auto element = [&](int r, int n) -> float& {
          return lanes[r % 8 * 4 + n / 2].c[r / 8 * 2 + n % 2];
        };
        for (int r = 0; r < 16; ++r)
          for (int n = 0; n < 8; ++n) mc[r][n] = element(r, n);
        add_product(ma, mb, mc);
        for (int r = 0; r < 16; ++r)
          for (int n = 0; n < 8; ++n) element(r, n) = mc[r][n];
      },
      at);
}

// ldmatrix.x4: lane 8 m + r has the address of row r of matrix m. Each lane reads its row itself,
// so that sanitizers see who reads what.
struct LoadArgs {
  uint16_t row[8];
  uint32_t* w;
};
inline void load_8x8x4(const Thread& x, uint32_t (&w)[4], const uint16_t* row, bool transposed,
                       simt::Place at) {
  LoadArgs args{{}, w};
  std::memcpy(args.row, row, sizeof args.row);
  const auto hand_out = [](simt::Lanes<LoadArgs> lanes, bool by_columns) {
    for (int lane = 0; lane < 32; ++lane)
      for (int m = 0; m < 4; ++m) {
        uint32_t word = 0;
        for (int n = 0; n < 2; ++n) {
          const int major = lane >> 2, minor = (lane & 3) << 1 | n;
          const uint32_t element =
              by_columns ? lanes[8 * m + minor].row[major] : lanes[8 * m + major].row[minor];
          word |= element << (16 * n);
        }
        lanes[lane].w[m] = word;
      }
  };
  if (transposed)
    simt::warp_collective(
        x, args, [=](simt::Lanes<LoadArgs> lanes) { hand_out(lanes, true); }, at);
  else
    simt::warp_collective(
        x, args, [=](simt::Lanes<LoadArgs> lanes) { hand_out(lanes, false); }, at);
}
inline void load_8x8x4(const Thread& x, uint32_t (&w)[4], const uint16_t* row,
                       simt::Place at = simt::Place::current()) {
  load_8x8x4(x, w, row, false, at);
}
inline void load_8x8x4_transposed(const Thread& x, uint32_t (&w)[4], const uint16_t* row,
                                  simt::Place at = simt::Place::current()) {
  load_8x8x4(x, w, row, true, at);
}

}  // namespace attend::gpu::unit
