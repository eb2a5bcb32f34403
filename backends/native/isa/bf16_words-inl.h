// bf16 pairs as words: vdpbf16ps multiplies two bf16 values of each word and adds both products in
// f32.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "backends/native/isa/tile-inl.h"

namespace attend::native::ATTEND_ISA {

struct Bf16Words {
  static constexpr int kValues = 2;

  static VF multiply_add(VF acc, float left, VF right) {
    return _mm512_dpbf16_ps(acc, (__m512bh)splat(left), (__m512bh)right);
  }

  static VF multiply_add(VF acc, VF left, VF right) {
    return _mm512_dpbf16_ps(acc, (__m512bh)left, (__m512bh)right);
  }

  // kLanes words, that is 2 kLanes values, of a row from word `first` on; values past the last dim
  // are zeros.
  static VF load_words(const RowPointers& from, const void* row, int first, int dim) {
    const int values = dim - 2 * first;
    const auto* p = static_cast<const uint16_t*>(row) + 2 * first * from.step;
    if (from.step == 1 && values >= 2 * kLanes) return load(reinterpret_cast<const float*>(p));
    if (from.step == 1) {
      const auto mask = static_cast<__mmask32>((uint64_t{1} << values) - 1);
      return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, p));
    }
    alignas(64) uint16_t part[2 * kLanes] = {};
    for (int i = 0; i < values && i < 2 * kLanes; ++i) part[i] = p[i * from.step];
    return load(reinterpret_cast<const float*>(part));
  }

  // The words that pair two keys: for each of 2 kLanes dims, the first key's value below the
  // second's.
  static void load_key_words(const RowPointers& from, const void* const (&key)[2], int first,
                             int dim, VF (&words)[2]) {
    const VF a = load_row(from, key[0], first, dim), b = load_row(from, key[1], first, dim);
    words[0] = pair<0>(a, b);
    words[1] = pair<1>(a, b);
  }

  template <Elem elem>
  static VF whole_words(const void* row, int first) {
    return load(static_cast<const float*>(row) + first);
  }
  template <Elem elem>
  static void whole_key_words(const void* const (&key)[2], int first, VF (&words)[2]) {
    const VF a = whole_words<elem>(key[0], first / 2), b = whole_words<elem>(key[1], first / 2);
    words[0] = pair<0>(a, b);
    words[1] = pair<1>(a, b);
  }

  static void store_weights(float* row, int key, VF a, VF b) {
    const __m512bh pairs = _mm512_cvtne2ps_pbh(b, a);
    __builtin_memcpy(row + key / 2, &pairs, sizeof pairs);
  }

  static void store_out(void* to, VF v, Elem elem) {
    if (elem != Elem::kBF16) return store_elem(to, v, elem);  // a part of ring's
    const __m256bh halves = _mm512_cvtneps_pbh(v);
    __builtin_memcpy(to, &halves, sizeof halves);
  }

 private:
  static VF load_row(const RowPointers& from, const void* row, int first, int dim) {
    return row == nullptr ? VF{} : load_words(from, row, first / 2, dim);
  }
  // The values of 2 kLanes dims of two keys side by side; half 0 or 1 of them.
  template <int half>
  static VF pair(VF a, VF b) {
    VI order{};
    for (int l = 0; l < kLanes; ++l) {
      const int value = half * kLanes + l;
      order[l] = value | (2 * kLanes + value) << 16;
    }
    return _mm512_castsi512_ps(_mm512_permutex2var_epi16(
        _mm512_castps_si512(a), reinterpret_cast<__m512i>(order), _mm512_castps_si512(b)));
  }
};

}  // namespace attend::native::ATTEND_ISA
