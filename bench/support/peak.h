#pragma once
#include "attend/tensor.h"

namespace attend::bench {

// What this machine did, at its best, in loops that do nothing else.
struct Peak {
  int threads = 1;
  double f32_fma = 0;    // FLOP/s, by the widest vectors of the CPU
  double bf16_dot = 0;   // FLOP/s of vdpbf16ps; 0 where there is none
  double read = 0;       // bytes/s from memory, four streams a thread
  const char* isa = "";  // of f32_fma and read: "avx512"

  // The rate that a kernel of this element type can reach at most. Widening bf16 or f16 to f32 is
  // legal, so the peak of bf16 is the faster of the two ways (on Intel's cores without AMX the dot
  // product has half the rate of the FMA).
  double flops(DType dtype) const {
    return dtype == DType::kBF16 && bf16_dot > f32_fma ? bf16_dot : f32_fma;
  }
};

// Measured on first use, once for each number of threads; takes about a second.
const Peak& peak(int threads);

// The same, measured anew.
Peak measure_peak(int threads);

}  // namespace attend::bench
