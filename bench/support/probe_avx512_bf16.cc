#include <immintrin.h>

#include "bench/support/probe.h"

namespace attend::bench::avx512_bf16 {

double bf16_dot(long rounds) {
  constexpr int kChains = 16;  // a latency of six cycles on two units needs twelve
  __m512 sum[kChains];
  __m512i bits = _mm512_set1_epi32(0x3e803e80);  // 0.25, 0.25
  asm volatile("" : "+v"(bits));
  const __m512bh pair = reinterpret_cast<__m512bh>(bits);
  for (__m512& s : sum) {
    s = _mm512_setzero_ps();
    asm volatile("" : "+v"(s));
  }
  for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) sum[c] = _mm512_dpbf16_ps(sum[c], pair, pair);
  }
  for (__m512& s : sum) asm volatile("" : "+v"(s));
  return static_cast<double>(rounds) * kChains * 16 * 4;
}

}  // namespace attend::bench::avx512_bf16
