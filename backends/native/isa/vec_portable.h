#pragma once
#include <cstdint>

// The vector vocabulary in the compiler's own vectors of four floats: any architecture, no
// intrinsics.
namespace attend::native::ATTEND_ISA {

inline constexpr int kLanes = 4;
typedef float VF __attribute__((vector_size(16), may_alias));
typedef int32_t VI __attribute__((vector_size(16), may_alias));

inline VF vmax(VF a, VF b) { return a > b ? a : b; }  // b where either is NaN

inline float half_to_float(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16, magnitude = x & 0x7fffu;
  uint32_t bits = 0x38000000u + (magnitude << 13);
  if (magnitude >= 0x7c00u) {
    bits = 0x7f800000u | (magnitude & 0x3ffu) << 13;
  } else if (magnitude <
             0x400u) {  // 2^-14 + the subnormal, less 2^-14: exact, and no f32 subnormal arises
    const uint32_t shifted = 0x38800000u + (magnitude << 13);
    float value;
    __builtin_memcpy(&value, &shifted, sizeof value);
    value -= 0x1p-14f;
    __builtin_memcpy(&bits, &value, sizeof bits);
  }
  bits |= sign;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint16_t float_to_half(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  const uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 rounds at the right place
    float shifted;
    __builtin_memcpy(&shifted, &magnitude, sizeof shifted);
    shifted += 0.5f;
    __builtin_memcpy(&u, &shifted, sizeof u);
    return static_cast<uint16_t>(sign | (u - 0x3f000000u));
  }
  return static_cast<uint16_t>(
      sign | ((magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13));
}

inline VF load_f16(const void* p) {
  uint16_t x[kLanes];
  __builtin_memcpy(x, p, sizeof x);
  return VF{half_to_float(x[0]), half_to_float(x[1]), half_to_float(x[2]), half_to_float(x[3])};
}
inline void store_f16(void* p, VF v) {
  const uint16_t x[kLanes] = {float_to_half(v[0]), float_to_half(v[1]), float_to_half(v[2]),
                              float_to_half(v[3])};
  __builtin_memcpy(p, x, sizeof x);
}

}  // namespace attend::native::ATTEND_ISA
