#pragma once
// attend::gpu::Thread for clang's HIP without ROCm's headers or device libraries: compiler builtins
// alone (backends/gpu/device/thread.h says what it promises).
#include <cstdint>

#define ATTEND_DEVICE __attribute__((device, always_inline)) inline

extern "C" __attribute__((shared, device, aligned(1024))) char attend_shared[];

namespace attend::gpu {

class Thread {
 public:
#if defined(__GFX9__)
  static constexpr int kWarp = 64;
#else
  static constexpr int kWarp = 32;
#endif

  ATTEND_DEVICE int tid() const { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
  ATTEND_DEVICE int lane() const { return tid() % kWarp; }
  ATTEND_DEVICE int warp() const { return tid() / kWarp; }
  ATTEND_DEVICE Index3 block() const {
    return {static_cast<int>(__builtin_amdgcn_workgroup_id_x()),
            static_cast<int>(__builtin_amdgcn_workgroup_id_y()),
            static_cast<int>(__builtin_amdgcn_workgroup_id_z())};
  }
  ATTEND_DEVICE char* shared() const { return attend_shared; }

  ATTEND_DEVICE void sync() const {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
  }
  ATTEND_DEVICE void warp_sync() const {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
  }
  template <class T>
  ATTEND_DEVICE T shfl_xor(T value, int mask) const {
    return shfl(value, lane() ^ mask);
  }
  template <class T>
  ATTEND_DEVICE T shfl(T value, int from) const {
    static_assert(sizeof(T) == 4);
    return __builtin_bit_cast(
        T, __builtin_amdgcn_ds_bpermute(from << 2, __builtin_bit_cast(int, value)));
  }
  ATTEND_DEVICE uint64_t ballot(bool predicate) const {
    if constexpr (kWarp == 64)
      return __builtin_amdgcn_ballot_w64(predicate);
    else
      return __builtin_amdgcn_ballot_w32(predicate);
  }

  ATTEND_DEVICE void copy16(void* to, const void* from, bool valid) const {
    struct alignas(16) Words {
      uint32_t w[4];
    };
    Words words{};  // a choice between two addresses would put zeros into scratch memory
    if (valid) words = *static_cast<const Words*>(from);
    *static_cast<Words*>(to) = words;
  }
  ATTEND_DEVICE void copy_commit() const {}
  template <int n>
  ATTEND_DEVICE void copy_wait() const {}

  ATTEND_DEVICE int32_t atomic_add(int32_t* at, int32_t value) const {
    return __hip_atomic_fetch_add(at, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
  }
  ATTEND_DEVICE int32_t atomic_cas(int32_t* at, int32_t expected, int32_t desired) const {
    __hip_atomic_compare_exchange_strong(at, &expected, desired, __ATOMIC_RELAXED, __ATOMIC_RELAXED,
                                         __HIP_MEMORY_SCOPE_AGENT);
    return expected;
  }
  ATTEND_DEVICE void fence() const { __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "agent"); }
};

}  // namespace attend::gpu
