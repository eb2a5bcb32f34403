#pragma once
#include <cstdint>

#include "backends/native/isa/tile_ops.h"

// What gdn needs from an instruction set: products of a chunk with one panel of value dims, and
// element-wise loops over rows. Plain functions, as in tile_ops.h and for the same reason.
namespace attend::native {

// A panel is `panel` columns side by side: row i at x + i * panel. Rows of left operands lie where
// two strides say. Lengths that are called padded are multiples of 16 floats, readable and
// writable.
// The recurrence over `tokens` tokens of one head. Its state is read from value rows
// from + i * from_stride of k_dim adjacent floats, k_dim a multiple of 16, and written to those of
// `to`, which may be the same.
//   d = beta (v - decayed_k S);  S = S + growth S + k d;  out = q S
// growth is decay - 1: a decay near 1 has few bits left in f32; decay - 1 has all of them, and
// thousands of steps do not drift.
struct GdnSteps {
  const float* from;
  float* to;
  int64_t from_stride, to_stride;
  int32_t v_dim, k_dim, tokens;
  int64_t stride;  // between rows of the tokens: growth, decayed_k = decay * k, k, q
  const float *growth, *decayed_k, *k, *q;
  const float *beta, *v;  // v and out in panels, `panel_floats` apart
  float* out;
  int64_t panel_floats;
};

struct GdnOps {
  int32_t panel;  // columns of a panel

  // What a product adds to.
  enum class Onto : uint8_t { kZero, kScaled, kGrown };

  // to[i] = start + sum over w < words of left[i * row + w * word] * right[w], i < rows; the start
  // is 0, factor[i] * to[i] or to[i] + factor[i] * to[i].
  void (*multiply)(float* to, int64_t to_stride, int32_t rows, Onto onto, const float* factor,
                   const float* left, int64_t row, int64_t word, const float* right, int32_t words);
  // u[i] += sum over j < i of left[i * stride + j] * u[j], i = 0, 1, .. rows - 1 in turn.
  void (*solve)(float* u, int32_t rows, const float* left, int64_t stride);
  // to[i] += sum over j <= i of left[i * stride + j] * u[j].
  void (*lower)(float* to, const float* u, int32_t rows, const float* left, int64_t stride);

  void (*steps)(const GdnSteps& s);

  // Rows of `count` floats, `step` apart, to panels [row / panel][element][row % panel] and back.
  void (*to_panels)(const float* const* rows, int64_t step, int32_t row_count, int32_t count,
                    float* panels);
  void (*from_panels)(const float* panels, int32_t row_count, int32_t count, float* const* rows,
                      int64_t step);

  // A row of `count` elements, `step` apart, times factor, to vectors of f32, each panel's part
  // `group` floats after the last's; up to `width`, a multiple of 16 or of a panel, they are zeros.
  void (*load_row)(const void* from, int64_t step, Elem elem, float factor, int32_t count,
                   int32_t width, float* to, int64_t group);
  void (*store_row)(const float* from, int64_t group, int32_t count, void* to, int64_t step,
                    Elem elem);

  // Element-wise, n padded.
  void (*scale)(const float* from, float factor, int32_t n, float* to);
  // a *= factor * exp(exponent), p *= exp(exponent); exponents are not above 0.
  void (*decay)(float* a, float* p, const float* exponent, float factor, int32_t n);
  void (*expm1)(float* x, int32_t n);  // exp(x) - 1 of x <= 0
  // to = bias + sum over t < taps of x[t * x_stride] * weight[t * weight_stride], then SiLU.
  void (*convolve)(const float* x, int64_t x_stride, const float* weight, int64_t weight_stride,
                   int32_t taps, const float* bias, bool silu, int32_t n, float* to);
  // x *= factor * weight * silu(z)
  void (*gate)(float* x, float factor, const float* weight, const float* z, int32_t n);
  float (*sum_squares)(const float* x, int32_t n);
};

extern const GdnOps kGdnPortable;
#if defined(__x86_64__)
extern const GdnOps kGdnAvx2, kGdnAvx512;
#endif

}  // namespace attend::native
