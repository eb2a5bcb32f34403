#pragma once
// The matrix instructions of NVIDIA from sm_80 on (PTX ISA: mma.m16n8k16, ldmatrix).
#include <cstdint>

namespace attend::gpu::unit {

// Two f32, rounded to nearest even; lo in the lower half.
template <class T>
ATTEND_DEVICE uint32_t pack(float lo, float hi) {
  uint32_t w;
  if constexpr (kIsHalf<T>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(hi), "f"(lo));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(hi), "f"(lo));
  return w;
}

// v, of which the compiler knows nothing any more: what follows from it is computed again and not
// kept in registers that accumulators need.
ATTEND_DEVICE int again(int v) {
  asm volatile("" : "+r"(v));
  return v;
}

// Between the parts of a step, where the compiler may need to be told not to begin the next.
template <class... Values>
ATTEND_DEVICE void end_part(Values&...) {}

// 2^x to 2 ulp; results below the normal numbers are 0.
ATTEND_DEVICE float exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// c[16 x 8] += a[16 x 16] b[16 x 8]
template <class T>
ATTEND_DEVICE void multiply(const Thread&, float* c, const uint32_t* a, const uint32_t* b) {
  if constexpr (kIsHalf<T>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit elements; lanes 8 n .. 8 n + 7 have the addresses of the rows of
// matrix n.
ATTEND_DEVICE void load_8x8x4(const Thread&, uint32_t (&w)[4], const uint16_t* row) {
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
               : "r"(at)
               : "memory");
}
ATTEND_DEVICE void load_8x8x4_transposed(const Thread&, uint32_t (&w)[4], const uint16_t* row) {
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
               : "r"(at)
               : "memory");
}

}  // namespace attend::gpu::unit
