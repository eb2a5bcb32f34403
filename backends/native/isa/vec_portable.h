#pragma once
#include <cstdint>

// Built with baseline flags like the rest of the library, so a shared header does no harm here.
#include "backends/native/convert.h"

// The vector vocabulary in the compiler's own vectors of four floats: any architecture, no
// intrinsics.
namespace attend::native::ATTEND_ISA {

inline constexpr int kLanes = 4;
typedef float VF __attribute__((vector_size(16), may_alias));
typedef int32_t VI __attribute__((vector_size(16), may_alias));

}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/exchange-inl.h"
namespace attend::native::ATTEND_ISA {

inline VF vmax(VF a, VF b) { return a > b ? a : b; }  // b where either is NaN

// kLanes small integers, widened.
template <class T>
inline VI load_integers(const void* p) {
  T x[kLanes];
  __builtin_memcpy(x, p, sizeof x);
  return VI{x[0], x[1], x[2], x[3]};
}
inline VI load_u8(const void* p) { return load_integers<uint8_t>(p); }
inline VI load_i8(const void* p) { return load_integers<int8_t>(p); }
inline VI load_u16(const void* p) { return load_integers<uint16_t>(p); }

// f8 with its exponent as f32 counts it. A subnormal arises as 1 + x at the smallest exponent and is
// set right, so that no f32 subnormal is met, which a program that flushes them would lose. e4m3 has
// NaN (all ones) but no infinity.
inline VF as_float(VI v) { return reinterpret_cast<VF&>(v); }
inline VF load_f8(const void* p, bool e5m2) {
  const VI x = load_u8(p), size = x & 0x7f;
  const float least = e5m2 ? 0x1p-15f : 0x1p-7f;
  const VF normal = as_float(e5m2 ? (size << 21) + (112 << 23) : (size << 20) + (120 << 23));
  VF value = size < (e5m2 ? 4 : 8) ? (normal - least) * 2.0f : normal;
  if (e5m2)
    value = size >= 0x7c ? as_float(size << 21 | 0x7f800000) : value;
  else
    value = size == 0x7f ? VF{} + __builtin_nanf("") : value;
  return as_float(reinterpret_cast<VI&>(value) | (x & 0x80) << 24);
}

inline VF load_f16(const void* p) {
  uint16_t x[kLanes];
  __builtin_memcpy(x, p, sizeof x);
  return VF{f16_to_f32(x[0]), f16_to_f32(x[1]), f16_to_f32(x[2]), f16_to_f32(x[3])};
}
inline void store_f16(void* p, VF v) {
  const uint16_t x[kLanes] = {f32_to_f16(v[0]), f32_to_f16(v[1]), f32_to_f16(v[2]),
                              f32_to_f16(v[3])};
  __builtin_memcpy(p, x, sizeof x);
}

}  // namespace attend::native::ATTEND_ISA
