// Vectors beyond what the compiler gives them: loads and stores, bits, exp and tanh. Included by
// tile-inl.h after the vector vocabulary, in the namespace of its instruction set.
#pragma once
#include <cstdint>

namespace attend::native::ATTEND_ISA {

inline constexpr float kInfinity = __builtin_inff();
inline constexpr float kLog2E = 1.44269504088896341f;

// By way of integers: 0 + x would turn -0 into 0, quiet a NaN and, where a program flushes
// subnormals, lose half of a word that holds a pair of bf16. It is one instruction less, too.
inline VF splat(float x) {
  int32_t word;
  __builtin_memcpy(&word, &x, sizeof word);
  const VI words = VI{} + word;
  return reinterpret_cast<const VF&>(words);
}
inline VF load(const float* p) {
  VF v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, VF v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store_first(float* p, VF v, int count) {
  alignas(64) float all[kLanes];
  store(all, v);
  __builtin_memcpy(p, all, static_cast<unsigned long>(count) * sizeof(float));
}
inline VI bits(VF v) { return reinterpret_cast<VI&>(v); }
inline VF from_bits(VI v) { return reinterpret_cast<VF&>(v); }
inline VF to_float(VI v) { return __builtin_convertvector(v, VF); }

inline VI lane_numbers() {
  VI v{};
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// 2^x for x <= 0 and a little above; exactly 0 below -126.5, where f32 turns subnormal; NaN stays
// NaN. x = n + r with |r| <= 1/2, a degree-6 polynomial in r, 1 ulp. The magic number leaves
// n + 127 in the low bits of the sum, ready to be shifted into an exponent; n = -127 makes a zero.
inline VF exp2_nonpositive(VF x) {
  x = vmax(splat(-127.0f), x);  // in this order NaN comes through
  const VF magic = splat(0x1.8p23f + 127.0f);
  const VF t = x + magic;
  const VF r = x - (t - magic);
  VF p = splat(1.559468074e-4f);  // Remez for the relative error: 2.6e-9 before rounding
  p = p * r + 1.340664341e-3f;
  p = p * r + 9.617692791e-3f;
  p = p * r + 5.550310388e-2f;
  p = p * r + 2.402265221e-1f;
  p = p * r + 6.931472421e-1f;
  p = p * r + 1.0f;
  return p * from_bits(bits(t) << 23);
}

// The same for weights, of which there are most. rough: where they are rounded to bf16 afterwards. An
// instruction set may know a cheaper way (exp_table-inl.h).
template <int lanes>
struct WeightExp {
  static constexpr bool kBeside = false;  // whether it leaves the registers to a product beside it
  template <bool rough>
  VF of(VF x) const {
    return exp2_nonpositive(x);
  }
};

inline VF exp_nonpositive(VF x) { return exp2_nonpositive(x * kLog2E); }

// tanh to 2 ulp: odd polynomial below 0.625 in size, 1 - 2 / (exp(2 |x|) + 1) above.
inline VF tanh(VF x) {
  const VF size = from_bits(bits(x) & 0x7fffffff);
  const VF z = x * x;
  VF p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const VF small = (p * z) * x + x;
  const VF e = exp_nonpositive(-2.0f * size);  // of -2|x|, so that nothing overflows
  const VF large = (1.0f - e) / (1.0f + e);
  const VF signed_large = from_bits(bits(large) | (bits(x) & static_cast<int32_t>(0x80000000)));
  const VF y = size < 0.625f ? small : signed_large;
  return x == x ? y : x;
}

}  // namespace attend::native::ATTEND_ISA
