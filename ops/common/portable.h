#pragma once

// ATTEND_HD marks code that native, CUDA and HIP compilers all take. Nothing in ops/common names a
// vendor beyond these lines.
#if defined(__CUDACC__) || defined(__HIPCC__)
#define ATTEND_HD __host__ __device__ __forceinline__
#else
#define ATTEND_HD inline
#endif
