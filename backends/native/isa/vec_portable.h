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
