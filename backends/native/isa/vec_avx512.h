#pragma once
#include <immintrin.h>

#include <cstdint>

namespace attend::native::ATTEND_ISA {

inline constexpr int kLanes = 16;
typedef float VF __attribute__((vector_size(64), may_alias));
typedef int32_t VI __attribute__((vector_size(64), may_alias));

inline VF vmax(VF a, VF b) { return _mm512_max_ps(a, b); }
inline float max_of(VF v) { return _mm512_reduce_max_ps(v); }
inline float sum_of(VF v) { return _mm512_reduce_add_ps(v); }
// kLanes small integers, widened.
inline VI load_u8(const void* p) {
  return reinterpret_cast<VI>(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
inline VI load_i8(const void* p) {
  return reinterpret_cast<VI>(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
inline VI load_u16(const void* p) {
  return reinterpret_cast<VI>(
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))));
}
inline VF load_f16(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
inline void store_f16(void* p, VF v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace attend::native::ATTEND_ISA
