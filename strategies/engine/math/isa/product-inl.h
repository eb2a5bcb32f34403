// The product of rows and one panel, written once and compiled for each instruction set. The
// including file defines ATTEND_ISA and kRegisters and includes the vector vocabulary.
//
//   tile      `rows` of x by V vectors of outputs, its sums in registers; a word of x is broadcast,
//             V vectors of weights are loaded and used `rows` times
//   one row   V covers the panel where registers allow: 4 chains of sums and one stream of memory,
//             asked for kAhead bytes early, since what limits it is memory's rate
//   many      6 rows x 4 vectors of 16 lanes: 10 loads for 24 multiply-adds, weights from the first
//             level of cache (the caller cuts the words into stretches)
#pragma once
#include <cstdint>

#include "backends/native/isa/math-inl.h"
#include "strategies/engine/math/isa/math_ops.h"

namespace attend::engine::ATTEND_ISA {

using namespace native::ATTEND_ISA;  // the vocabulary

inline constexpr int kRowStep = kRegisters == 32 ? 6 : kLanes == 8 ? 6 : 4;
inline constexpr int kAhead = 2048;

// Vectors of outputs in a tile of so many rows.
constexpr int vectors(int rows) {
  const int all = kPanel / kLanes;
  if (kRegisters == 32) return all < 4 ? all : 4;
  const int fit = rows == 1 ? 8 : rows == 2 ? 4 : 2;
  return all < fit ? all : fit;
}

// How a word of weights meets a word of x.
struct F32Words {
  static constexpr int kPerWord = 1;  // floats of x for a word of weights
  static VF multiply_add(VF sum, const float* x, VF w) { return sum + splat(*x) * w; }
};
struct SplitWords {
  static constexpr int kPerWord = 2;
  static VF multiply_add(VF sum, const float* x, VF w) {
    sum = sum + splat(x[0]) * from_bits(bits(w) << 16);
    return sum + splat(x[1]) * from_bits(bits(w) & static_cast<int32_t>(0xffff0000));
  }
};

template <class Words, int rows>
inline void multiply_tile(const PanelCall& c, int64_t first_row) {
  constexpr int kVectors = vectors(rows), kColumns = kVectors * kLanes;
  const float* const x = c.x + first_row * c.x_stride;
  float* const y = c.y + first_row * c.y_stride;
  for (int column = 0; column < c.columns; column += kColumns) {
    const int left = c.columns - column;
    VF sum[rows][kVectors] = {};
    if (c.onto) {
      for (int r = 0; r < rows; ++r) {
        alignas(64) float part[kColumns] = {};
        const float* from = y + r * c.y_stride + column;
        if (left < kColumns) {
          __builtin_memcpy(part, from, static_cast<unsigned long>(left) * sizeof(float));
          from = part;
        }
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) sum[r][v] = load(from + v * kLanes);
      }
    }
    const float* w = c.weights + column;
    const float* word = x;
    for (int64_t i = 0; i < c.words; ++i, w += kPanel, word += Words::kPerWord) {
      if constexpr (rows == 1) {
        for (int at = 0; at < kColumns * 4; at += 64)
          __builtin_prefetch(reinterpret_cast<const char*>(w) + kAhead + at);
      }
      VF weights[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) weights[v] = load(w + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = Words::multiply_add(sum[r][v], word + r * c.x_stride, weights[v]);
      }
    }
    for (int r = 0; r < rows; ++r) {
      alignas(64) float part[kColumns];
      float* const row = y + r * c.y_stride + column;
      float* const to = left < kColumns ? part : row;
      if (c.bias != nullptr) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = sum[r][v] + load(c.bias + column + v * kLanes);
      }
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) store(to + v * kLanes, sum[r][v]);
      if (left < kColumns)
        __builtin_memcpy(row, part, static_cast<unsigned long>(left) * sizeof(float));
    }
  }
}

// The last rows, fewer than kRowStep, as a compile-time number.
template <class Words, int rows>
inline void multiply_last(const PanelCall& c, int64_t first_row) {
  if constexpr (rows > 0) {
    if (c.rows - first_row == rows) return multiply_tile<Words, rows>(c, first_row);
    multiply_last<Words, rows - 1>(c, first_row);
  }
}

template <class Words>
void multiply(const PanelCall& c) {
  int64_t row = 0;
  for (; row + kRowStep <= c.rows; row += kRowStep) multiply_tile<Words, kRowStep>(c, row);
  multiply_last<Words, kRowStep - 1>(c, row);
}

}  // namespace attend::engine::ATTEND_ISA
