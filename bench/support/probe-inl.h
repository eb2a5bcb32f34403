// The loops of support/probe.h for vectors of ATTEND_PROBE_BYTES bytes, in namespace
// ATTEND_PROBE_ISA. Included once by each instruction set's file; no include guard on purpose.
#include "bench/support/probe.h"

namespace attend::bench::ATTEND_PROBE_ISA {

typedef float Floats __attribute__((vector_size(ATTEND_PROBE_BYTES)));
typedef long long Words __attribute__((vector_size(ATTEND_PROBE_BYTES)));

// Hides a value from the optimiser, which would otherwise compute it beforehand.
#if defined(__x86_64__)
#define ATTEND_OPAQUE(x) asm volatile("" : "+v"(x))
#else
#define ATTEND_OPAQUE(x) asm volatile("" : "+w"(x))
#endif

// Twelve chains: two FMA units of four cycles each need eight, and sixteen registers hold them all.
double f32_fma(long rounds) {
  constexpr int kChains = 12;
  Floats sum[kChains], factor = {}, addend = {};
  factor += 0.5f;
  addend += 1.0f;
  ATTEND_OPAQUE(factor);
  ATTEND_OPAQUE(addend);
  for (Floats& s : sum) {
    s = addend;
    ATTEND_OPAQUE(s);
  }
  for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sum[c] = sum[c] * factor + addend;
  }
  for (Floats& s : sum) ATTEND_OPAQUE(s);
  constexpr int kLanes = ATTEND_PROBE_BYTES / static_cast<int>(sizeof(float));
  return static_cast<double>(rounds) * kChains * kLanes * 2;
}

// Four streams, as the K and V rows of several heads are: one stream alone does not keep enough
// cache lines on the way.
double read(const char* data, long bytes) {
  constexpr long kStep = 128;  // two cache lines
  constexpr int kWords = kStep / ATTEND_PROBE_BYTES;
  const long quarter = bytes / 4;
  Words sum[4] = {};
  for (long at = 0; at < quarter; at += kStep) {
#pragma GCC unroll 4
    for (int stream = 0; stream < 4; ++stream) {
      const Words* words = reinterpret_cast<const Words*>(data + stream * quarter + at);
#pragma GCC unroll 8
      for (int w = 0; w < kWords; ++w) sum[stream] |= words[w];
    }
  }
  for (Words& s : sum) ATTEND_OPAQUE(s);
  return static_cast<double>(bytes);
}

}  // namespace attend::bench::ATTEND_PROBE_ISA
