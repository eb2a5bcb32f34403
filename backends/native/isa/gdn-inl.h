// gdn's arithmetic, written once and compiled for each instruction set. The including file defines
// ATTEND_ISA and kRowStep and includes the vector vocabulary, as for tile-inl.h, whose register
// tile `multiply` and whose transposing pack are used here.
//
//   multiply    register tiles of kRowStep rows x one panel (2 vectors)
//   solve       the same tile for what lies before its rows, then a triangle in registers
//   lower       likewise
//   steps       two passes over a panel of the state a token, both from the first-level cache: the
//               prediction, then update and output; four sums side by side hide an FMA's latency
//
// A triangle's upper half is not read, so a NaN of a later token cannot reach an earlier one.
#pragma once
#include "backends/native/isa/gdn_ops.h"
#include "backends/native/isa/tile-inl.h"

namespace attend::native::ATTEND_ISA {

// ---- products

// Calls f with the number of rows, 1..kRowStep, as a compile-time constant.
template <int n>
struct Count {
  static constexpr int value = n;
};
template <int most = kRowStep, class F>
inline void with_rows(int32_t rows, F&& f) {
  if constexpr (most > 1)
    if (rows < most) return with_rows<most - 1>(rows, static_cast<F&&>(f));
  f(Count<most>{});
}

template <int rows>
inline void load_tile(VF (&acc)[kRowStep][2], const float* from, int64_t stride) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    acc[r][0] = load(from + r * stride);
    acc[r][1] = load(from + r * stride + kLanes);
  }
}

template <int rows>
inline void store_tile(const VF (&acc)[kRowStep][2], float* to, int64_t stride) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    store(to + r * stride, acc[r][0]);
    store(to + r * stride + kLanes, acc[r][1]);
  }
}

inline void gdn_multiply(float* to, int64_t to_stride, int32_t rows, GdnOps::Onto onto,
                         const float* growth, const float* left, int64_t row, int64_t word,
                         const float* right, int32_t words) {
  for (int32_t i = 0; i < rows; i += kRowStep) {
    with_rows(rows - i, [&](auto count) {
      constexpr int n = decltype(count)::value;
      VF acc[kRowStep][2] = {};
      float* const tile = to + i * to_stride;
      if (onto != GdnOps::Onto::kZero) load_tile<n>(acc, tile, to_stride);
      if (onto == GdnOps::Onto::kGrown) {
#pragma GCC unroll 16
        for (int r = 0; r < n; ++r) {
          acc[r][0] = acc[r][0] + acc[r][0] * growth[i + r];
          acc[r][1] = acc[r][1] + acc[r][1] * growth[i + r];
        }
      }
      multiply<F32Words, n>(acc, left + i * row, row, word, right, words);
      store_tile<n>(acc, tile, to_stride);
    });
  }
}

inline void gdn_solve(float* u, int32_t rows, const float* left, int64_t stride) {
  for (int32_t i = 0; i < rows; i += kRowStep) {
    with_rows(rows - i, [&](auto count) {
      constexpr int n = decltype(count)::value;
      VF acc[kRowStep][2] = {};
      const float* const l = left + i * stride;
      load_tile<n>(acc, u + i * kKeyStep, kKeyStep);
      multiply<F32Words, n>(acc, l, stride, 1, u, i);
#pragma GCC unroll 16
      for (int j = 0; j < n; ++j) {
#pragma GCC unroll 16
        for (int r = j + 1; r < n; ++r) {
          const float x = l[r * stride + i + j];
          acc[r][0] = acc[r][0] + x * acc[j][0];
          acc[r][1] = acc[r][1] + x * acc[j][1];
        }
      }
      store_tile<n>(acc, u + i * kKeyStep, kKeyStep);
    });
  }
}

inline void gdn_lower(float* to, const float* u, int32_t rows, const float* left, int64_t stride) {
  for (int32_t i = 0; i < rows; i += kRowStep) {
    with_rows(rows - i, [&](auto count) {
      constexpr int n = decltype(count)::value;
      VF acc[kRowStep][2] = {};
      const float* const l = left + i * stride;
      load_tile<n>(acc, to + i * kKeyStep, kKeyStep);
      multiply<F32Words, n>(acc, l, stride, 1, u, i);
#pragma GCC unroll 16
      for (int j = 0; j < n; ++j) {
        const VF u0 = load(u + (i + j) * kKeyStep), u1 = load(u + (i + j) * kKeyStep + kLanes);
#pragma GCC unroll 16
        for (int r = j; r < n; ++r) {
          const float x = l[r * stride + i + j];
          acc[r][0] = acc[r][0] + x * u0;
          acc[r][1] = acc[r][1] + x * u1;
        }
      }
      store_tile<n>(acc, to + i * kKeyStep, kKeyStep);
    });
  }
}

// ---- the recurrence

inline void gdn_steps(float* state, int32_t k_dim, int32_t tokens, int64_t stride,
                      const float* growth, const float* decayed_k, const float* k, const float* q,
                      const float* beta, const float* v, float* out) {
  constexpr int kSums = 4;
  const int32_t whole = k_dim / kSums * kSums;
  for (int32_t t = 0; t < tokens; ++t, growth += stride, decayed_k += stride, k += stride,
               q += stride, v += kKeyStep, out += kKeyStep) {
    VF sum[kSums][2] = {};
    const auto predict = [&](int s, int32_t c) {
      const float* const row = state + static_cast<int64_t>(c) * kKeyStep;
      sum[s][0] = sum[s][0] + decayed_k[c] * load(row);
      sum[s][1] = sum[s][1] + decayed_k[c] * load(row + kLanes);
    };
    for (int32_t c = 0; c < whole; c += kSums) {
#pragma GCC unroll 4
      for (int s = 0; s < kSums; ++s) predict(s, c + s);
    }
    for (int32_t c = whole; c < k_dim; ++c) predict(0, c);
    const VF d0 = beta[t] * (load(v) - ((sum[0][0] + sum[1][0]) + (sum[2][0] + sum[3][0])));
    const VF d1 =
        beta[t] * (load(v + kLanes) - ((sum[0][1] + sum[1][1]) + (sum[2][1] + sum[3][1])));
    VF o[kSums][2] = {};
    const auto update = [&](int s, int32_t c) {
      float* const row = state + static_cast<int64_t>(c) * kKeyStep;
      VF s0 = load(row), s1 = load(row + kLanes);
      s0 = s0 + growth[c] * s0;
      s1 = s1 + growth[c] * s1;
      s0 = s0 + k[c] * d0;
      s1 = s1 + k[c] * d1;
      store(row, s0);
      store(row + kLanes, s1);
      o[s][0] = o[s][0] + q[c] * s0;
      o[s][1] = o[s][1] + q[c] * s1;
    };
    for (int32_t c = 0; c < whole; c += kSums) {
#pragma GCC unroll 4
      for (int s = 0; s < kSums; ++s) update(s, c + s);
    }
    for (int32_t c = whole; c < k_dim; ++c) update(0, c);
    store(out, (o[0][0] + o[1][0]) + (o[2][0] + o[3][0]));
    store(out + kLanes, (o[0][1] + o[1][1]) + (o[2][1] + o[3][1]));
  }
}

// ---- rows and panels

inline void gdn_to_panels(const float* const* rows, int64_t step, int32_t row_count, int32_t count,
                          float* panels) {
  RowPointers from{};
  from.rows = reinterpret_cast<const void* const*>(rows);
  from.step = step;
  from.elem = Elem::kF32;
  from.scale = 1.0f;
  pack_k<F32Words>(from, row_count, count, panels);
}

inline void gdn_from_panels(const float* panels, int32_t row_count, int32_t count,
                            float* const* rows, int64_t step) {
  for (int32_t first = 0; first < row_count; first += kLanes) {
    const float* const from =
        panels + static_cast<int64_t>(first / kKeyStep) * count * kKeyStep + first % kKeyStep;
    for (int32_t c = 0; c < count; c += kLanes) {
      VF square[kLanes];
      for (int i = 0; i < kLanes; ++i)
        square[i] = c + i < count ? load(from + static_cast<int64_t>(c + i) * kKeyStep) : VF{};
      transpose(square);
      for (int i = 0; i < kLanes && first + i < row_count; ++i) {
        float* const to = rows[first + i] + c * step;
        if (step == 1 && c + kLanes <= count) {
          store(to, square[i]);
          continue;
        }
        alignas(64) float part[kLanes];
        store(part, square[i]);
        for (int l = 0; l < kLanes && c + l < count; ++l) to[l * step] = part[l];
      }
    }
  }
}

// ---- element-wise

inline VF sigmoid_times(VF x) {  // x * sigmoid(x)
  const VF e = exp_nonpositive(from_bits(bits(x) | static_cast<int32_t>(0x80000000)));
  return x * (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}

inline void gdn_scale(const float* from, float factor, int32_t n, float* to) {
  for (int32_t i = 0; i < n; i += kLanes) store(to + i, load(from + i) * factor);
}

inline void gdn_decay(float* a, float* p, const float* exponent, float factor, int32_t n) {
  for (int32_t i = 0; i < n; i += kLanes) {
    const VF e = exp_nonpositive(load(exponent + i));
    store(a + i, load(a + i) * (factor * e));
    store(p + i, load(p + i) * e);
  }
}

// A Taylor sum to x^8 above -1/2, where exp(x) - 1 would cancel: 1e-8.
inline void gdn_expm1(float* to, int32_t n) {
  for (int32_t i = 0; i < n; i += kLanes) {
    const VF x = load(to + i);
    VF p = splat(1.0f / 40320);
    p = p * x + 1.0f / 5040;
    p = p * x + 1.0f / 720;
    p = p * x + 1.0f / 120;
    p = p * x + 1.0f / 24;
    p = p * x + 1.0f / 6;
    p = p * x + 0.5f;
    p = p * x + 1.0f;
    store(to + i, x > -0.5f ? p * x : exp_nonpositive(x) - 1.0f);
  }
}

inline void gdn_convolve(const float* x, int64_t x_stride, const float* weight,
                         int64_t weight_stride, int32_t taps, const float* bias, bool silu,
                         int32_t n, float* to) {
  for (int32_t i = 0; i < n; i += kLanes) {
    VF y = load(bias + i);
    for (int32_t t = 0; t < taps; ++t)
      y = y + load(x + t * x_stride + i) * load(weight + t * weight_stride + i);
    store(to + i, silu ? sigmoid_times(y) : y);
  }
}

inline void gdn_gate(float* x, float factor, const float* weight, const float* z, int32_t n) {
  for (int32_t i = 0; i < n; i += kLanes)
    store(x + i, load(x + i) * factor * load(weight + i) * sigmoid_times(load(z + i)));
}

inline float gdn_sum_squares(const float* x, int32_t n) {
  VF sum{};
  for (int32_t i = 0; i < n; i += kLanes) sum = sum + load(x + i) * load(x + i);
  float total = 0.0f;  // sum_of inlined here makes g++ 12 warn inside its own headers
  for (int i = 0; i < kLanes; ++i) total += sum[i];
  return total;
}

inline constexpr GdnOps kGdnOps{
    kKeyStep,  gdn_multiply, gdn_solve, gdn_lower,    gdn_steps, gdn_to_panels,  gdn_from_panels,
    gdn_scale, gdn_decay,    gdn_expm1, gdn_convolve, gdn_gate,  gdn_sum_squares};

}  // namespace attend::native::ATTEND_ISA
