#pragma once
// attend::gpu::Thread for nvcc (backends/gpu/device/thread.h says what it promises).
#include <cstdint>

#define ATTEND_DEVICE __device__ __forceinline__

namespace attend::gpu {

class Thread {
 public:
  static constexpr int kWarp = 32;

  ATTEND_DEVICE int tid() const { return static_cast<int>(threadIdx.x); }
  ATTEND_DEVICE int lane() const { return tid() % kWarp; }
  ATTEND_DEVICE int warp() const { return tid() / kWarp; }
  ATTEND_DEVICE Index3 block() const {
    return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y),
            static_cast<int>(blockIdx.z)};
  }
  ATTEND_DEVICE char* shared() const {
    extern __shared__ __align__(1024) char attend_shared[];
    return attend_shared;
  }

  ATTEND_DEVICE void sync() const { __syncthreads(); }
  ATTEND_DEVICE void warp_sync() const { __syncwarp(); }
  template <class T>
  ATTEND_DEVICE T shfl_xor(T value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }
  template <class T>
  ATTEND_DEVICE T shfl(T value, int lane) const {
    return __shfl_sync(0xffffffffu, value, lane);
  }
  ATTEND_DEVICE uint64_t ballot(bool predicate) const {
    return __ballot_sync(0xffffffffu, predicate);
  }

  ATTEND_DEVICE void copy16(void* to, const void* from, bool valid) const {
    const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
  }
  ATTEND_DEVICE void copy_commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int n>
  ATTEND_DEVICE void copy_wait() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
  }

  ATTEND_DEVICE int32_t atomic_add(int32_t* at, int32_t value) const {
    return atomicAdd(at, value);
  }
  ATTEND_DEVICE int32_t atomic_cas(int32_t* at, int32_t expected, int32_t desired) const {
    return atomicCAS(at, expected, desired);
  }
  ATTEND_DEVICE void fence() const { __threadfence(); }
};

}  // namespace attend::gpu
