#pragma once
#include <immintrin.h>

#include <cstdint>

namespace attend::native::ATTEND_ISA {

inline constexpr int kLanes = 8;
typedef float VF __attribute__((vector_size(32), may_alias));
typedef int32_t VI __attribute__((vector_size(32), may_alias));

}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/exchange-inl.h"
namespace attend::native::ATTEND_ISA {

inline VF vmax(VF a, VF b) { return _mm256_max_ps(a, b); }
// a * b + c, rounded once.
inline VF fused(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
// kLanes small integers, widened.
inline VI load_u8(const void* p) {
  return reinterpret_cast<VI>(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
}
inline VI load_i8(const void* p) {
  return reinterpret_cast<VI>(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
}
// The low bytes of kLanes integers; the compiler's own conversion goes lane by lane.
inline void store_u8(void* p, VI v) {
  const __m256i low = _mm256_shuffle_epi8(
      reinterpret_cast<__m256i&>(v), _mm256_set1_epi64x(static_cast<int64_t>(0x808080800c080400)));
  const __m128i both =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(static_cast<__m128i*>(p), both);
}
inline VI load_u16(const void* p) {
  return reinterpret_cast<VI>(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
inline VF load_f16(const void* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
// By way of f16, as in vec_avx512.h.
inline VF load_f8(const void* p, bool e5m2) {
  const __m128i x = _mm_cvtepu8_epi16(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
  const __m128i top = _mm_slli_epi16(x, 8);
  if (e5m2) return _mm256_cvtph_ps(top);
  const __m128i size = _mm_slli_epi16(_mm_and_si128(x, _mm_set1_epi16(0x7f)), 7);
  const __m128i nan = _mm_cmpeq_epi16(size, _mm_set1_epi16(0x3f80));
  const __m128i sign = _mm_and_si128(top, _mm_set1_epi16(static_cast<int16_t>(0x8000)));
  const __m128i value = _mm_blendv_epi8(size, _mm_set1_epi16(0x7e00), nan);
  return _mm256_cvtph_ps(_mm_or_si128(value, sign)) * 256.0f;
}
inline void store_f16(void* p, VF v) {
  _mm_storeu_si128(static_cast<__m128i*>(p),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace attend::native::ATTEND_ISA
