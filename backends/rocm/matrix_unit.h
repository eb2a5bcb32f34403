#pragma once
// The matrix instructions of AMD: MFMA on CDNA, WMMA on RDNA 3 (the ISA documents' matrix
// arithmetic chapters).
#include <cstdint>

namespace attend::gpu::unit {

// To the bits of T, to nearest even. What is rounded here is a weight or an output: a NaN among
// them has come through an instruction, which leaves its upper bits set.
template <class T>
ATTEND_DEVICE uint32_t bits_of(float x) {
  if constexpr (kIsHalf<T>) return __builtin_bit_cast(uint16_t, static_cast<_Float16>(x));
  const auto u = __builtin_bit_cast(uint32_t, x);
  return (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
}
template <class T>
ATTEND_DEVICE uint32_t pack(float lo, float hi) {
  return bits_of<T>(lo) | bits_of<T>(hi) << 16;
}

// v, of which the compiler knows nothing any more: what follows from it is computed again and not
// kept in registers that accumulators need.
ATTEND_DEVICE int again(int v) {
  asm volatile("" : "+v"(v));
  return v;
}

// Nothing that follows is begun before what stands before it: between the parts of a step, whose
// operands would fill the registers together.
ATTEND_DEVICE void end_part() { __builtin_amdgcn_sched_barrier(0); }
// The same, and these values are there: products that the compiler puts off until they are used, in
// another branch, would leave all their operands in registers till then.
template <int kRows, int kKeys, int kTile>
ATTEND_DEVICE void end_part(float (&values)[kRows][kKeys][kTile]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int k = 0; k < kKeys; ++k)
#pragma unroll
      for (int e = 0; e < kTile; ++e) asm volatile("" : "+v"(values[r][k][e]));
  end_part();
}

// 2^x to 1 ulp; results below the normal numbers are 0.
ATTEND_DEVICE float exp2(float x) { return __builtin_amdgcn_exp2f(x); }

#if defined(__GFX9__)

// c[16 x 16] += a[16 x 16] b[16 x 16]
template <class T>
ATTEND_DEVICE void multiply(const Thread&, float* c, const uint32_t* a, const uint32_t* b) {
  using Accumulator = float __attribute__((ext_vector_type(4)));
  using Words = uint32_t __attribute__((ext_vector_type(2)));
  Accumulator sum{c[0], c[1], c[2], c[3]};
  const Words x{a[0], a[1]}, y{b[0], b[1]};
  if constexpr (kIsHalf<T>) {
    using Halves = _Float16 __attribute__((ext_vector_type(4)));
    sum = __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(Halves, x),
                                                __builtin_bit_cast(Halves, y), sum, 0, 0, 0);
  } else {
    using Shorts = short __attribute__((ext_vector_type(4)));
    sum = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(Shorts, x),
                                                    __builtin_bit_cast(Shorts, y), sum, 0, 0, 0);
  }
  for (int e = 0; e < 4; ++e) c[e] = sum[e];
}

#else

template <class T>
ATTEND_DEVICE void multiply(const Thread&, float* c, const uint32_t* a, const uint32_t* b) {
  using Accumulator = float __attribute__((ext_vector_type(8)));
  using Words = uint32_t __attribute__((ext_vector_type(8)));
  Accumulator sum{c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]};
  const Words x{a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]},
      y{b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]};
  if constexpr (kIsHalf<T>) {
    using Halves = _Float16 __attribute__((ext_vector_type(16)));
    sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(__builtin_bit_cast(Halves, x),
                                                     __builtin_bit_cast(Halves, y), sum);
  } else {
    using Shorts = short __attribute__((ext_vector_type(16)));
    sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(__builtin_bit_cast(Shorts, x),
                                                      __builtin_bit_cast(Shorts, y), sum);
  }
  for (int e = 0; e < 8; ++e) c[e] = sum[e];
}

#endif

}  // namespace attend::gpu::unit
