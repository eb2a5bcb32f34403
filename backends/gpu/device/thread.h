#pragma once
// The thread that runs a kernel, by neutral names: attend::gpu::Thread. Three compilers take every
// kernel body: nvcc, clang for AMD, and g++ for execution on the host. All three builds have a
// Thread with these members:
//
//   static constexpr int kWarp         threads that run in step: 32 or 64, never assumed
//   int tid(), lane(), warp()          in the block, in the warp, of the block's warps
//   Index3 block()                     x, y, z
//   char* shared()                     the launch's shared memory, 16-byte aligned
//   void sync(), warp_sync()           all threads of the block, of the warp; both order memory
//   T shfl_xor(T, mask), shfl(T, lane) 4-byte T; all threads of the warp call
//   uint64_t ballot(bool)              bit per lane
//   void copy16(to, from, valid)       16 bytes, global to shared, perhaps later; zeros if !valid
//   void copy_commit()                 closes a group of copies
//   void copy_wait<n>()                until at most n groups of this thread are under way; other
//                                      threads see them after sync()
//   int32_t atomic_add(int32_t*, v)    device-wide, relaxed; returns what was there
//   int32_t atomic_cas(int32_t*, expected, desired)  device-wide, relaxed; returns what was there
//   void fence()                       orders this thread's memory accesses for the whole device
//
// ATTEND_DEVICE marks device functions; __CUDACC__ and __HIP__ are named here and nowhere below.
#include <cstdint>

#include "backends/gpu/call/kernel.h"

#if defined(__CUDACC__)
#include "backends/cuda/thread.h"
#elif defined(__HIP__)
#include "backends/rocm/thread.h"
#else
#include "tests/simt/executor/thread.h"
#endif
