// Kernels of driver_test.cc, in a library of their own that the stand-in drivers open in its stead.
#include "tests/simt/driver_test_kernels.h"
#include "backends/gpu/device/kernel.h"

namespace attend::simt {

using gpu::Thread;

// to[i] = from[i] + 1
struct AddOne {
  using Args = TestArgs;
  static constexpr int kThreads = kTestThreads;
  static ATTEND_DEVICE void run(Thread& x, const TestArgs& a) {
    const int i = x.block().x * kThreads + x.tid();
    if (i < a.n) a.to[i] = a.from[i] + 1;
  }
};

// Writes the element behind the last.
struct OneTooFar {
  using Args = TestArgs;
  static constexpr int kThreads = kTestThreads;
  static ATTEND_DEVICE void run(Thread& x, const TestArgs& a) {
    if (x.tid() == 0 && x.block().x == 0) a.to[a.n] = 0;
  }
};

struct Deadlock {
  using Args = TestArgs;
  static constexpr int kThreads = kTestThreads;
  static ATTEND_DEVICE void run(Thread& x, const TestArgs&) {
    if (x.tid() == 0) x.warp_sync();
    x.sync();
  }
};

// Writes all of the shared memory that it is told of, and its last byte to `to`.
struct Shared {
  using Args = TestArgs;
  static constexpr int kThreads = kTestThreads;
  static ATTEND_DEVICE void run(Thread& x, const TestArgs& a) {
    for (int i = x.tid(); i < a.n; i += kThreads) x.shared()[i] = static_cast<char>(i);
    x.sync();
    if (x.tid() == 0 && x.block().x == 0) *a.to = x.shared()[a.n - 1];
  }
};

}  // namespace attend::simt

ATTEND_GPU_KERNEL(test_add_one, attend::simt::AddOne)
ATTEND_GPU_KERNEL(test_one_too_far, attend::simt::OneTooFar)
ATTEND_GPU_KERNEL(test_deadlock, attend::simt::Deadlock)
ATTEND_GPU_KERNEL(test_shared, attend::simt::Shared)
