#pragma once
#include <cstdint>

// What the engine's products and row functions need from an instruction set, as plain functions.
// Shapes, threads and errors stay outside, in files built with baseline flags, so that no inline
// function of a shared header is compiled here and kept by the linker for everyone.
namespace attend::engine {

// Element types at this boundary (attend::DType is not included here).
enum class Elem : uint8_t { kF32, kF16, kBF16 };

// Weights lie in panels of so many outputs, whole; see packed.h.
inline constexpr int kPanel = 64;

// Rows of x times one panel of weights, or a stretch of its words.
//   sums     each is one chain over the words, in their order, whatever the number of rows and
//            wherever a stretch ends: a row's bits depend on nothing but its own values
struct PanelCall {
  const float* x;  // word 0 of the stretch, row 0; an f32 a word, or what `pairs` says
  int64_t x_stride;
  const float* weights;  // [words][kPanel]: word w of each output
  int64_t words;
  float* y;  // row 0, first output of the panel
  int64_t y_stride;
  const float* bias;  // of the panel, added after the last word, or null
  int64_t rows;
  int32_t columns;  // of the panel that exist
  bool onto;        // y holds the sums of the words before
};

struct MathOps {
  void (*multiply_f32)(const PanelCall&);

  // A word of weights holds two bf16 of one output, the lower index in the lower half. x holds such
  // words where `pairs`, else two f32 for each of them.
  void (*multiply_bf16)(const PanelCall&);
  bool pairs;

  // n elements side by side; overlapping only if they are the same.
  void (*load)(const void* from, Elem elem, int64_t n, float* to);
  void (*store)(const float* from, int64_t n, Elem elem, void* to);

  float (*sum_of_squares)(const float* x, int64_t n);
  // y = x * factor * (weight + plus); without weight y = x * factor.
  void (*scale)(const float* x, float factor, const float* weight, float plus, int64_t n, float* y);
  void (*add)(const float* x, int64_t n, float* y);  // y += x
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* y);
  void (*sigmoid_mul)(const float* gate, int64_t n, float* y);  // y *= sigmoid(gate)
  // (a, b) = (a cos - b sin, b cos + a sin), with a = x[0, n), b = x[n, 2n)
  void (*rotate)(const float* cos, const float* sin, int64_t n, float* x);
};

}  // namespace attend::engine
