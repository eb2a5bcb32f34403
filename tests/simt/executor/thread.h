#pragma once
// attend::gpu::Thread for execution on the host (backends/gpu/device/thread.h says what it
// promises). ATTEND_SIMT_NV (what is meant where nothing is said), ATTEND_SIMT_CDNA or
// ATTEND_SIMT_RDNA names the hardware whose kernels are compiled: warps of 32, 64 and 32 threads.
//
// What an emulated matrix instruction needs beyond Thread is simt::warp_collective, below.
#include <bit>
#include <cstdint>

#include "backends/gpu/call/kernel.h"
#include "tests/simt/executor/host_kernel.h"
#include "tests/simt/executor/lane.h"
#include "tests/simt/executor/sanitizers.h"

#define ATTEND_DEVICE inline

#if !defined(ATTEND_SIMT_CDNA) && !defined(ATTEND_SIMT_RDNA) && !defined(ATTEND_SIMT_NV)
#define ATTEND_SIMT_NV 1
#endif

namespace attend::gpu {

class Thread {
 public:
#if defined(ATTEND_SIMT_CDNA)
  static constexpr int kWarp = 64;
#else
  static constexpr int kWarp = 32;
#endif

  explicit Thread(simt::Lane& lane)
      : state_(&lane), block_(lane.block_index), tid_(lane.tid), shared_(lane.shared) {}

  int tid() const { return tid_; }
  int lane() const { return tid_ % kWarp; }
  int warp() const { return tid_ / kWarp; }
  Index3 block() const { return block_; }
  char* shared() const { return shared_; }

  void sync(simt::Place at = simt::Place::current()) const { simt::block_barrier(*state_, at); }
  void warp_sync(simt::Place at = simt::Place::current()) const { simt::warp_barrier(*state_, at); }

  template <class T>
  T shfl_xor(T value, int mask, simt::Place at = simt::Place::current()) const {
    return std::bit_cast<T>(
        simt::exchange(*state_, std::bit_cast<uint32_t>(value), lane() ^ mask, at));
  }
  template <class T>
  T shfl(T value, int lane, simt::Place at = simt::Place::current()) const {
    return std::bit_cast<T>(simt::exchange(*state_, std::bit_cast<uint32_t>(value), lane, at));
  }
  uint64_t ballot(bool predicate, simt::Place at = simt::Place::current()) const {
    return simt::ballot(*state_, predicate, at);
  }

  void copy16(void* to, const void* from, bool valid,
              simt::Place at = simt::Place::current()) const {
    simt::copy16(*state_, to, from, valid, at);
  }
  void copy_commit() const { simt::copy_commit(*state_); }
  template <int n>
  void copy_wait() const {
    simt::copy_wait(*state_, n);
  }

  int32_t atomic_add(int32_t* at, int32_t value, simt::Place place = simt::Place::current()) const {
    simt::before_atomic(*state_, place);
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
  }
  int32_t atomic_cas(int32_t* at, int32_t expected, int32_t desired,
                     simt::Place place = simt::Place::current()) const {
    simt::before_atomic(*state_, place);
    __atomic_compare_exchange_n(at, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
  }
  void fence() const { simt::fence(); }

  simt::Lane& simt_lane() const { return *state_; }  // for the functions of attend::simt alone

 private:
  simt::Lane* state_;
  Index3 block_;
  int tid_;
  char* shared_;
};

}  // namespace attend::gpu

namespace attend::simt {

// An instruction that a whole warp carries out together. Every lane brings `mine`; when all have,
// op(lanes) runs once, lanes[l] being the Args& of lane l, and then every lane goes on. It orders
// no memory, as on a GPU. An emulated matrix instruction is
//
//   struct Args { Fragment a, b; Accumulator* c; } args{...};
//   simt::warp_collective(x, args, [](simt::Lanes<Args> lanes) { ... lanes[l].a ... });
//
// with the caller's `at` (a last parameter `simt::Place at = simt::Place::current()`) where errors
// should name the kernel's line.
template <class Args>
class Lanes {
 public:
  static constexpr int kCount = gpu::Thread::kWarp;
  explicit Lanes(void* const* slots) : slots_(slots) {}
  Args& operator[](int lane) const { return *static_cast<Args*>(slots_[lane]); }

 private:
  void* const* slots_;
};

template <class Args, class Op>
void warp_collective(const gpu::Thread& x, Args& mine, Op op, Place at = Place::current()) {
  Lane& lane = x.simt_lane();
  if (void* const* const slots = bring(lane, &mine, at)) {
    const Unwatched arguments_of_others;
    op(Lanes<Args>(slots));
  }
  meet(lane, at);
}

// What ATTEND_GPU_KERNEL registers.
class HostKernel : public KernelEntry {
 public:
  using Run = void (*)(gpu::Thread&, const void* args);
  HostKernel(const char* name, int threads, size_t arg_bytes, Run run)
      : KernelEntry(name, threads, arg_bytes, gpu::Thread::kWarp, &enter), run_(run) {}

 private:
  static void enter(const KernelEntry& kernel, Lane& lane, const void* args) {
    gpu::Thread x(lane);
    static_cast<const HostKernel&>(kernel).run_(x, args);
  }
  Run run_;
};

}  // namespace attend::simt
