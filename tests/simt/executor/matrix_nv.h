#pragma once
// NVIDIA's warp-level matrix instructions, emulated from the PTX ISA's pictures: which lane holds
// an element of a matrix, and as which of its own.
#include <cstring>

#include "tests/simt/executor/matrix_product.h"

namespace attend::gpu::unit {

// mma.m16n8k16 (9.7.14, "Matrix Fragments for mma.m16n8k16 with floating point type")
template <class T>
struct Product {
  using Lanes = simt::Lanes<ProductArgs>;
  static constexpr int kColumns = 8;

  static float a(Lanes lanes, int i, int k) {
    return part<T>(lanes[i % 8 * 4 + k % 8 / 2].a, k / 8 * 4 + i / 8 * 2 + k % 2);
  }
  static float b(Lanes lanes, int k, int j) {
    return part<T>(lanes[j * 4 + k % 8 / 2].b, k / 8 * 2 + k % 2);
  }
  static float& c(Lanes lanes, int i, int j) {
    return lanes[i % 8 * 4 + j / 2].c[i / 8 * 2 + j % 2];
  }
};

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
  const auto hand_out = [transposed](simt::Lanes<LoadArgs> lanes) {
    for (int lane = 0; lane < 32; ++lane)
      for (int m = 0; m < 4; ++m) {
        uint32_t word = 0;
        for (int n = 0; n < 2; ++n) {
          const int major = lane >> 2, minor = (lane & 3) << 1 | n;
          const uint32_t element =
              transposed ? lanes[8 * m + minor].row[major] : lanes[8 * m + major].row[minor];
          word |= element << (16 * n);
        }
        lanes[lane].w[m] = word;
      }
  };
  simt::warp_collective(x, args, hand_out, at);
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
