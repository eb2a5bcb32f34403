// Functions of one row of f32, written once and compiled for each instruction set; included after
// product-inl.h. What is left after whole vectors goes through one that is padded with zeros.
#pragma once
#include <cstdint>

#include "strategies/engine/math/isa/product-inl.h"

namespace attend::engine::ATTEND_ISA {

inline VF load_first(const float* p, int64_t count) {
  alignas(64) float part[kLanes] = {};
  __builtin_memcpy(part, p, static_cast<unsigned long>(count) * sizeof(float));
  return native::ATTEND_ISA::load(part);
}

// Calls step(i, load, store) for the vectors of [0, n): load(p) and store(p, v) take whole vectors
// at p + i, or the last few elements.
template <class Step>
inline void for_vectors(int64_t n, Step&& step) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    step([i](const float* p) { return native::ATTEND_ISA::load(p + i); },
         [i](float* p, VF v) { native::ATTEND_ISA::store(p + i, v); });
  if (i < n)
    step([i, n](const float* p) { return load_first(p + i, n - i); },
         [i, n](float* p, VF v) { store_first(p + i, v, static_cast<int>(n - i)); });
}

// 1 / (1 + exp(-x)), by an exponential that never overflows; exactly 0 below -88.
inline VF sigmoid(VF x) {
  const VF size = from_bits(bits(x) & 0x7fffffff);
  const VF e = exp_nonpositive(-size);
  const VF s = (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
  return x == x ? s : x;
}

inline float sum_of_squares(const float* x, int64_t n) {
  VF sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const VF v = native::ATTEND_ISA::load(x + i + s * kLanes);
      sums[s] = sums[s] + v * v;
    }
  }
  for (; i < n; i += kLanes) {
    const VF v = i + kLanes <= n ? native::ATTEND_ISA::load(x + i) : load_first(x + i, n - i);
    sums[0] = sums[0] + v * v;
  }
  const VF all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = 0.0f;
  for (int l = 0; l < kLanes; ++l) sum += all[l];
  return sum;
}

inline void scale(const float* x, float factor, const float* weight, float plus, int64_t n,
                  float* y) {
  if (weight == nullptr)
    return for_vectors(n, [&](auto load, auto store) { store(y, load(x) * factor); });
  for_vectors(n,
              [&](auto load, auto store) { store(y, load(x) * factor * (load(weight) + plus)); });
}

inline void add(const float* x, int64_t n, float* y) {
  for_vectors(n, [&](auto load, auto store) { store(y, load(y) + load(x)); });
}

inline void silu_mul(const float* gate, const float* up, int64_t n, float* y) {
  for_vectors(n, [&](auto load, auto store) {
    const VF g = load(gate);
    store(y, g * sigmoid(g) * load(up));
  });
}

inline void sigmoid_mul(const float* gate, int64_t n, float* y) {
  for_vectors(n, [&](auto load, auto store) { store(y, load(y) * sigmoid(load(gate))); });
}

inline void rotate(const float* cos, const float* sin, int64_t n, float* x) {
  for_vectors(n, [&](auto load, auto store) {
    const VF a = load(x), b = load(x + n), c = load(cos), s = load(sin);
    store(x, a * c - b * s);
    store(x + n, b * c + a * s);
  });
}

// ---- other element types

template <Elem elem>
inline VF load_elem(const void* p) {
  if constexpr (elem == Elem::kF32)
    return native::ATTEND_ISA::load(static_cast<const float*>(p));
  else if constexpr (elem == Elem::kF16)
    return load_f16(p);
  else
    return from_bits(load_u16(p) << 16);
}

template <Elem elem>
inline void store_elem(void* p, VF v) {
  if constexpr (elem == Elem::kF32) {
    native::ATTEND_ISA::store(static_cast<float*>(p), v);
  } else if constexpr (elem == Elem::kF16) {
    store_f16(p, v);
  } else {  // to nearest even; NaN stays NaN
    typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));
    const VI u = bits(v);
    const VI rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    const VI value = v == v ? rounded : (u >> 16) | 0x40;
    const Halves h = __builtin_convertvector(value, Halves);
    __builtin_memcpy(p, &h, sizeof h);
  }
}

template <Elem elem>
inline void load_as(const char* from, int64_t n, float* to) {
  constexpr int64_t kSize = elem == Elem::kF32 ? 4 : 2;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    native::ATTEND_ISA::store(to + i, load_elem<elem>(from + i * kSize));
  if (i == n) return;
  alignas(64) char part[kLanes * kSize] = {};
  __builtin_memcpy(part, from + i * kSize, static_cast<unsigned long>((n - i) * kSize));
  store_first(to + i, load_elem<elem>(part), static_cast<int>(n - i));
}

template <Elem elem>
inline void store_as(const float* from, int64_t n, char* to) {
  constexpr int64_t kSize = elem == Elem::kF32 ? 4 : 2;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store_elem<elem>(to + i * kSize, native::ATTEND_ISA::load(from + i));
  if (i == n) return;
  alignas(64) char part[kLanes * kSize];
  store_elem<elem>(part, load_first(from + i, n - i));
  __builtin_memcpy(to + i * kSize, part, static_cast<unsigned long>((n - i) * kSize));
}

inline void load_any(const void* from, Elem elem, int64_t n, float* to) {
  const auto* p = static_cast<const char*>(from);
  if (elem == Elem::kF32) return load_as<Elem::kF32>(p, n, to);
  if (elem == Elem::kF16) return load_as<Elem::kF16>(p, n, to);
  load_as<Elem::kBF16>(p, n, to);
}

inline void store_any(const float* from, int64_t n, Elem elem, void* to) {
  auto* p = static_cast<char*>(to);
  if (elem == Elem::kF32) return store_as<Elem::kF32>(from, n, p);
  if (elem == Elem::kF16) return store_as<Elem::kF16>(from, n, p);
  store_as<Elem::kBF16>(from, n, p);
}

template <class Bf16Words>
inline constexpr MathOps kMathOps = {multiply<F32Words>,
                                     multiply<Bf16Words>,
                                     Bf16Words::kPerWord == 1,
                                     load_any,
                                     store_any,
                                     sum_of_squares,
                                     scale,
                                     add,
                                     silu_mul,
                                     sigmoid_mul,
                                     rotate};

}  // namespace attend::engine::ATTEND_ISA
