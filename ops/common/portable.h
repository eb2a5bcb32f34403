#pragma once
#include <cmath>

// ATTEND_HD marks code that g++, nvcc and clang for AMD all take, on the host and on a device.
// Nothing in ops/common names a vendor beyond this file.
#if defined(__CUDACC__)
#define ATTEND_HD __host__ __device__ __forceinline__
#elif defined(__HIP__)
#define ATTEND_HD __attribute__((host, device, always_inline)) inline
#else
#define ATTEND_HD inline
#endif

// The mathematics that device code may call. AMD's device code is compiled without a library:
// builtins that the compiler expands itself.
namespace attend::math {

#if defined(__HIP__)
ATTEND_HD float exp(float x) { return __builtin_expf(x); }
ATTEND_HD float exp2(float x) { return __builtin_exp2f(x); }
ATTEND_HD float log(float x) { return __builtin_logf(x); }
ATTEND_HD float max(float a, float b) { return __builtin_fmaxf(a, b); }
ATTEND_HD float abs(float x) { return __builtin_fabsf(x); }
ATTEND_HD float sqrt(float x) { return __builtin_sqrtf(x); }
// Twice the exponential's error; below 0.1, where the difference would cancel, its series.
ATTEND_HD float tanh(float x) {
  const float a = abs(x), b = x * x;
  const float t = a < 0.1f ? a * (1.0f + b * (-1.0f / 3 + b * (2.0f / 15 + b * (-17.0f / 315))))
                           : 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
  return x != x ? x : __builtin_copysignf(t, x);
}
#else
ATTEND_HD float exp(float x) { return ::expf(x); }
ATTEND_HD float exp2(float x) { return ::exp2f(x); }
ATTEND_HD float log(float x) { return ::logf(x); }
ATTEND_HD float max(float a, float b) { return ::fmaxf(a, b); }
ATTEND_HD float abs(float x) { return ::fabsf(x); }
ATTEND_HD float sqrt(float x) { return ::sqrtf(x); }
ATTEND_HD float tanh(float x) { return ::tanhf(x); }
#endif
inline constexpr float kInfinity = __builtin_huge_valf();

}  // namespace attend::math
