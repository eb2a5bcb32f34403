#pragma once
#include <cstdint>

#include "backends/native/isa/tile_ops.h"

// What append and merge need from an instruction set: rows of n adjacent elements, one at a time.
// Plain functions, for the reason of tile_ops.h.
namespace attend::native {

struct RowOps {
  // The codes of elements divided by `by`, each quotient rounded once to nearest even and saturated:
  // bit for bit what ops/common/element.h makes of them. from: f32, f16 or bf16; to: f8 or i8, which
  // `code` names.
  //   by   between kLeastDivisor and kMostDivisor
  void (*quantise)(const void* from, Elem elem, int64_t n, float by, uint8_t* to, Elem code);

  // to[i] = a[i] * by_a + b[i] * by_b, where b may be null, that is without it; f32, f16 or bf16.
  // `to` may be a or b.
  void (*join)(const void* a, float by_a, const void* b, float by_b, Elem parts, int64_t n,
               void* to, Elem elem);
};

// Within them neither 1 / by nor what a division leaves of a number turns subnormal, unless the
// quotient is so small that its code is a zero either way.
inline constexpr float kLeastDivisor = 0x1p-60f, kMostDivisor = 0x1p60f;

#if defined(__x86_64__)
extern const RowOps kAvx2RowOps, kAvx512RowOps;
#endif

}  // namespace attend::native
