#pragma once
// ATTEND_GPU_KERNEL(name, Body): one kernel instance, in a file <name>.cc of backends/gpu/instances.
// Its symbol is attend_<name>. Body has
//   using Args                        what the launch passes, by value, at most 4096 bytes
//   static constexpr int kThreads     of a block: a multiple of 64
//   static constexpr int kBlocks      optional: blocks that a multiprocessor should hold at once
//   static void run(Thread&, const Args&)
#include "backends/gpu/device/thread.h"

namespace attend::gpu {

template <class Body>
constexpr int blocks_at_once() {
  if constexpr (requires { Body::kBlocks; })
    return Body::kBlocks;
  else
    return 1;
}

template <class Body>
constexpr bool fits_a_launch() {
  return sizeof(typename Body::Args) <= 4096 && Body::kThreads % 64 == 0;
}

}  // namespace attend::gpu

#if defined(__CUDACC__)
#define ATTEND_GPU_KERNEL(name, ...)                                                       \
  static_assert(attend::gpu::fits_a_launch<__VA_ARGS__>());                                \
  extern "C" __global__ void __launch_bounds__(__VA_ARGS__::kThreads,                      \
                                               attend::gpu::blocks_at_once<__VA_ARGS__>()) \
      attend_##name(const __grid_constant__ __VA_ARGS__::Args args) {                      \
    attend::gpu::Thread x;                                                                 \
    __VA_ARGS__::run(x, args);                                                             \
  }
#elif defined(__HIP__)
// The arguments are read where the launch put them: a copy that is indexed by a variable would live
// in scratch memory.
#define ATTEND_GPU_KERNEL(name, ...)                                                              \
  static_assert(attend::gpu::fits_a_launch<__VA_ARGS__>());                                       \
  extern "C"                                                                                      \
      __attribute__((global, amdgpu_flat_work_group_size(                                         \
                                 __VA_ARGS__::kThreads,                                           \
                                 __VA_ARGS__::kThreads))) void attend_##name(__VA_ARGS__::Args) { \
    attend::gpu::Thread x;                                                                        \
    __VA_ARGS__::run(x, *(const __VA_ARGS__::Args*)__builtin_amdgcn_kernarg_segment_ptr());       \
  }
#else
#define ATTEND_GPU_KERNEL(name, ...)                                       \
  static_assert(attend::gpu::fits_a_launch<__VA_ARGS__>());                \
  static const attend::simt::HostKernel attend_##name{                     \
      "attend_" #name, __VA_ARGS__::kThreads, sizeof(__VA_ARGS__::Args),   \
      [](attend::gpu::Thread& x, const void* args) {                       \
        __VA_ARGS__::run(x, *static_cast<const __VA_ARGS__::Args*>(args)); \
      }};
#endif
