#pragma once
#include <immintrin.h>

#include <cstdint>

namespace attend::native::ATTEND_ISA {

inline constexpr int kLanes = 16;
typedef float VF __attribute__((vector_size(64), may_alias));
typedef int32_t VI __attribute__((vector_size(64), may_alias));

}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/exchange-inl.h"
namespace attend::native::ATTEND_ISA {

// One masked instruction a vector, twice a cycle, where the compiler's permutation of two vectors
// goes once.
template <>
inline void exchange<1>(VF& a, VF& b) {
  const VF first = _mm512_mask_moveldup_ps(a, 0xaaaa, b);
  b = _mm512_mask_movehdup_ps(b, 0x5555, a);
  a = first;
}
template <>
inline void exchange<2>(VF& a, VF& b) {
  const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
  a = _mm512_castpd_ps(_mm512_mask_movedup_pd(x, 0xaa, y));
  b = _mm512_castpd_ps(_mm512_mask_permute_pd(y, 0x55, x, 0xff));
}
template <>
inline void exchange<4>(VF& a, VF& b) {
  const VF first = _mm512_mask_shuffle_f32x4(a, 0xf0f0, b, b, _MM_SHUFFLE(2, 2, 0, 0));
  b = _mm512_mask_shuffle_f32x4(b, 0x0f0f, a, a, _MM_SHUFFLE(3, 3, 1, 1));
  a = first;
}

inline VF vmax(VF a, VF b) { return _mm512_max_ps(a, b); }
// a * b + c, rounded once.
inline VF fused(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
// kLanes small integers, widened.
inline VI load_u8(const void* p) {
  return reinterpret_cast<VI>(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
inline VI load_i8(const void* p) {
  return reinterpret_cast<VI>(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
// The low bytes of kLanes integers; the compiler's own conversion goes lane by lane.
inline void store_u8(void* p, VI v) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i&>(v)));
}
inline VI load_u16(const void* p) {
  return reinterpret_cast<VI>(
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))));
}
inline VF load_f16(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
// By way of f16, whose conversion takes subnormals as they are whatever the program has set: e5m2 is
// its upper byte; e4m3 lies 2^8 below it, and has NaN (all ones) but no infinity.
inline VF load_f8(const void* p, bool e5m2) {
  const __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  const __m256i top = _mm256_slli_epi16(x, 8);
  if (e5m2) return _mm512_cvtph_ps(top);
  const __m256i size = _mm256_slli_epi16(_mm256_and_si256(x, _mm256_set1_epi16(0x7f)), 7);
  const __mmask16 nan = _mm256_cmpeq_epi16_mask(size, _mm256_set1_epi16(0x3f80));
  const __m256i sign = _mm256_and_si256(top, _mm256_set1_epi16(static_cast<int16_t>(0x8000)));
  const __m256i value = _mm256_mask_mov_epi16(size, nan, _mm256_set1_epi16(0x7e00));
  return _mm512_cvtph_ps(_mm256_or_si256(value, sign)) * 256.0f;
}
inline void store_f16(void* p, VF v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/exp_table-inl.h"
