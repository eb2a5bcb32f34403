// gdn's arithmetic, written once and compiled for each instruction set. The including file defines
// ATTEND_ISA and kRowStep and includes the vector vocabulary, as for tile-inl.h, whose register
// tile `multiply` and whose transposing pack are used here.
//
//   multiply    register tiles of kRowStep rows x one panel (2 vectors)
//   solve       the same tile for what lies before its rows, then a triangle in registers
//   lower       likewise
//   steps       gdn_steps-inl.h
//
// A triangle's upper half is not read, so a NaN of a later token cannot reach an earlier one.
#pragma once
#include "backends/native/isa/gdn_ops.h"
#include "backends/native/isa/gdn_steps-inl.h"
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
// And f(first row, number of rows) for register tiles of all rows, as equal as can be: 64 rows are
// 13 + 13 + 13 + 13 + 12, where 4 rows left over would wait for their sums.
template <class F>
inline void for_tiles(int32_t rows, F&& f) {
  if (rows <= 0) return;
  const int32_t tiles = (rows + kRowStep - 1) / kRowStep, step = (rows + tiles - 1) / tiles;
  for (int32_t i = 0; i < rows; i += step)
    with_rows(rows - i < step ? rows - i : step, [&](auto count) { f(i, count); });
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
                         const float* factor, const float* left, int64_t row, int64_t word,
                         const float* right, int32_t words) {
  for_tiles(rows, [&](int32_t i, auto count) {
    constexpr int n = decltype(count)::value;
    VF acc[kRowStep][2] = {};
    float* const tile = to + i * to_stride;
    if (onto != GdnOps::Onto::kZero) load_tile<n>(acc, tile, to_stride);
    if (onto == GdnOps::Onto::kGrown) {
#pragma GCC unroll 16
      for (int r = 0; r < n; ++r) {
        acc[r][0] = acc[r][0] + acc[r][0] * factor[i + r];
        acc[r][1] = acc[r][1] + acc[r][1] * factor[i + r];
      }
    } else if (onto == GdnOps::Onto::kScaled) {
#pragma GCC unroll 16
      for (int r = 0; r < n; ++r) {
        acc[r][0] = acc[r][0] * factor[i + r];
        acc[r][1] = acc[r][1] * factor[i + r];
      }
    }
    multiply<F32Words, n>(acc, left + i * row, row, word, right, words);
    store_tile<n>(acc, tile, to_stride);
  });
}

inline void gdn_solve(float* u, int32_t rows, const float* left, int64_t stride) {
  for_tiles(rows, [&](int32_t i, auto count) {
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

inline void gdn_lower(float* to, const float* u, int32_t rows, const float* left, int64_t stride) {
  for_tiles(rows, [&](int32_t i, auto count) {
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

// Calls f<elem>() with one of the float types as a compile-time constant.
template <class F>
inline void with_float(Elem elem, F&& f) {
  if (elem == Elem::kF32) return f.template operator()<Elem::kF32>();
  if (elem == Elem::kF16) return f.template operator()<Elem::kF16>();
  f.template operator()<Elem::kBF16>();
}

// Whole panels of adjacent elements go by constants; the rest lane by lane.
inline void gdn_load_row(const void* from, int64_t step, Elem elem, float factor, int32_t count,
                         int32_t width, float* to, int64_t group) {
  const int32_t whole = step == 1 ? count / kKeyStep * kKeyStep : 0;
  with_float(elem, [&]<Elem e>() {
    const auto* p = static_cast<const char*>(from);
    for (int32_t i = 0; i < whole; i += kKeyStep, p += kKeyStep * elem_bytes(e), to += group) {
      store(to, load_elem(p, e) * factor);
      store(to + kLanes, load_elem(p + kLanes * elem_bytes(e), e) * factor);
    }
  });
  for (int32_t i = whole; i < width; i += kLanes) {
    const int32_t left = count - i;
    store(to + (i - whole) / kKeyStep * group + (i - whole) % kKeyStep,
          left > 0 ? load_some(from, i, step, left < kLanes ? left : kLanes, elem) * factor : VF{});
  }
}

inline void gdn_store_row(const float* from, int64_t group, int32_t count, void* to, int64_t step,
                          Elem elem) {
  const int32_t whole = step == 1 ? count / kKeyStep * kKeyStep : 0;
  auto* p = static_cast<char*>(to);
  with_float(elem, [&]<Elem e>() {
    for (int32_t i = 0; i < whole; i += kKeyStep, from += group, p += kKeyStep * elem_bytes(e)) {
      store_elem(p, load(from), e);
      store_elem(p + kLanes * elem_bytes(e), load(from + kLanes), e);
    }
  });
  for (int32_t i = whole; i < count;
       i += kKeyStep, from += group, p += kKeyStep * step * elem_bytes(elem))
    store_row<F32Words>(from, 1.0f, count - i < kKeyStep ? count - i : kKeyStep,
                        {p, step, elem, nullptr});
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

inline constexpr GdnOps kGdnOps{kKeyStep,      gdn_multiply,  gdn_solve,       gdn_lower,
                                gdn_steps,     gdn_to_panels, gdn_from_panels, gdn_load_row,
                                gdn_store_row, gdn_scale,     gdn_decay,       gdn_expm1,
                                gdn_convolve,  gdn_gate,      gdn_sum_squares};

}  // namespace attend::native::ATTEND_ISA
