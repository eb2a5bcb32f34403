// What a GPU would not forgive ends the launch with an error in words, and the next launch is as
// good as any.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>
#include <vector>

#include "tests/simt/run_kernel.h"

namespace attend::simt {
namespace {

using gpu::Thread;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;
constexpr int kWarp = Thread::kWarp;

class Fault : public testing::TestWithParam<Order> {
 protected:
  template <class Body>
  std::string run(const Body& body, uint32_t shared_bytes = 4096) {
    return run_kernel(body, {.shared_bytes = shared_bytes, .order = GetParam()});
  }
  void TearDown() override {
    std::vector<int> sums(kThreads);
    EXPECT_EQ(run([out = sums.data()](Thread& x) {
                x.sync();
                out[x.tid()] = x.shfl_xor(1, 1);
              }),
              "");
    EXPECT_EQ(sums, std::vector<int>(kThreads, 1));
  }
};
INSTANTIATE_TEST_SUITE_P(Executor, Fault, testing::ValuesIn(kOrders));

std::string here(int line) { return "tests/simt/faults_test.cc:" + std::to_string(line); }

TEST_P(Fault, BarrierInDivergentCodeNamesBothPlaces) {
  const int line = __LINE__;
  const std::string error = run([](Thread& x) {
    if (x.tid() < 5)
      x.sync();  // line + 3
    else
      x.sync();  // line + 5
  });
  EXPECT_THAT(error, AllOf(StartsWith("attend_test: block (0, 0, 0), thread "),
                           HasSubstr("others of the same block"), HasSubstr(here(line + 3)),
                           HasSubstr(here(line + 5))));
}

TEST_P(Fault, WarpBarrierInDivergentCodeNamesBothPlaces) {
  const int line = __LINE__;
  const std::string error = run([](Thread& x) {
    if (x.lane() % 2)
      x.warp_sync();  // line + 3
    else
      x.ballot(true);  // line + 5
  });
  EXPECT_THAT(error, AllOf(HasSubstr("others of the same warp"), HasSubstr(here(line + 3)),
                           HasSubstr(here(line + 5))));
}

TEST_P(Fault, CollectivesOfTwoKindsNeverMeet) {
  const std::string error = run([](Thread& x) {
    struct A {
      int a;
    } a{0};
    struct B {
      double b[9];
    } b{};
    if (x.lane() % 2)
      warp_collective(x, a, [](Lanes<A> lanes) { ++lanes[0].a; });
    else
      warp_collective(x, b, [](Lanes<B> lanes) { ++lanes[0].b[8]; });
  });
  EXPECT_THAT(error, HasSubstr("others of the same warp"));
}

TEST_P(Fault, DeadlockSaysWhoWaitsWhere) {
  const int line = __LINE__;
  const std::string error = run([](Thread& x) {
    if (x.tid() == 3) x.warp_sync();  // line + 2
    x.sync();                         // line + 3
  });
  EXPECT_THAT(error,
              AllOf(HasSubstr("deadlock: 127 threads wait for the block at " + here(line + 3)),
                    HasSubstr("1 of warp 0 for the warp at " + here(line + 2))));
}

TEST_P(Fault, LaneThatLeftBeforeACollective) {
  const int line = __LINE__;
  const std::string error = run([](Thread& x) {
    if (x.lane() == 3) return;
    x.shfl_xor(1, 1);  // line + 3
  });
  EXPECT_THAT(error, AllOf(HasSubstr("thread"), HasSubstr("leave"), HasSubstr(here(line + 3))));
}

TEST_P(Fault, ThreadThatLeavesWhileOthersWait) {
  const std::string error = run([](Thread& x) {
    if (x.tid() != kThreads - 1 && x.tid() != 0) x.sync();
  });
  EXPECT_THAT(error, testing::AnyOf(HasSubstr("leaves the kernel while others wait"),
                                    HasSubstr("threads have left the kernel")));
}

TEST_P(Fault, ShuffleOutsideTheWarp) {
  EXPECT_THAT(run([](Thread& x) { x.shfl(1, kWarp); }),
              HasSubstr("lane of the shuffle is " + std::to_string(kWarp) + ", expected 0 to " +
                        std::to_string(kWarp - 1)));
  EXPECT_THAT(run([](Thread& x) { x.shfl_xor(1, kWarp); }), HasSubstr("lane of the shuffle is"));
}

TEST_P(Fault, CopyOutsideSharedMemory) {
  static const char from[32] = {};
  EXPECT_THAT(run([](Thread& x) { x.copy16(x.shared() + 4096 - 8, from, false); }),
              HasSubstr("copy16 target is byte 4088 of shared memory, the launch has 4096 bytes"));
  EXPECT_THAT(run([](Thread& x) { x.copy16(x.shared() - 16, from, false); }),
              HasSubstr("copy16 target is byte -16 of shared memory"));
}

TEST_P(Fault, CopyThatIsNotAligned) {
  alignas(16) static const char from[32] = {};
  EXPECT_THAT(run([](Thread& x) { x.copy16(x.shared() + 8, from, true); }),
              HasSubstr("copy16 target is not aligned to 16 bytes"));
  EXPECT_THAT(run([](Thread& x) { x.copy16(x.shared(), from + 8, true); }),
              HasSubstr("copy16 source is not aligned to 16 bytes"));
}

TEST_P(Fault, WaitForWhatNoThreadDoes) {
  int flag = 0;
  EXPECT_THAT(run([&flag](Thread& x) {
                while (x.atomic_add(&flag, 0) == 0) {
                }
              }),
              HasSubstr("it waits for what no thread does"));
}

TEST_P(Fault, ExceptionInAKernel) {
  EXPECT_THAT(run([](Thread& x) {
                if (x.tid() == 7) throw 1;
              }),
              HasSubstr("thread 7: throws an exception"));
}

#if defined(__x86_64__)  // elsewhere such an access ends the process
volatile char sink;

// The address sanitizer ends the process with a report of its own where a page is shared.
#if !defined(__SANITIZE_ADDRESS__)
TEST_P(Fault, WriteOutsideSharedMemory) {
  // 1008 bytes leave 16 of their alignment, and what comes before is of the same page.
  EXPECT_THAT(run(
                  [](Thread& x) {
                    if (x.tid() < 4) x.shared()[1008 + x.tid()] = 0;
                  },
                  1008),
              HasSubstr("shared memory was written at byte 1008, the launch has 1008 bytes"));
  EXPECT_THAT(run([](Thread& x) { x.shared()[-1 - x.tid()] = 0; }, 1008),
              HasSubstr("shared memory was written at byte -128, the launch has 1008 bytes"));
}
#endif

TEST_P(Fault, AccessFarOutsideSharedMemory) {
  EXPECT_THAT(run([](Thread& x) {
                if (x.tid() == 9) x.shared()[4096] = 1;
              }),
              HasSubstr("thread 9: writes shared memory at byte 4096, the launch has 4096 bytes"));
  EXPECT_THAT(run([](Thread& x) {
                x.sync();
                if (x.tid() == 9) sink = x.shared()[-70000];
              }),
              AllOf(HasSubstr("thread 9: reads shared memory at byte -70000"),
                    HasSubstr("after tests/simt/faults_test.cc:")));
}

TEST_P(Fault, AccessWhereNothingIs) {
  void* const nothing = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(nothing, MAP_FAILED);
  const std::string error =
      run([nothing](Thread& x) { sink = static_cast<volatile char*>(nothing)[x.tid()]; });
  EXPECT_THAT(error, AllOf(HasSubstr("reads at address "), HasSubstr("where nothing is")));
  munmap(nothing, 4096);
}

volatile int zero = 0;
__attribute__((no_sanitize("undefined"))) int over_zero(int a) { return a / zero; }

TEST_P(Fault, DivisionByZero) {
  EXPECT_THAT(run([](Thread& x) { sink = static_cast<char>(over_zero(x.tid())); }),
              HasSubstr("divides an integer by zero"));
}

int deep(int calls, const volatile char* from) {
  volatile char frame[4096];
  frame[0] = *from;
  return (calls ? deep(calls - 1, frame) : 0) + frame[0];
}

TEST_P(Fault, StackUsedUp) {
  EXPECT_THAT(run([](Thread& x) {
                if (x.tid() == 5) sink = static_cast<char>(deep(1000, &sink));
              }),
              HasSubstr("bytes of stack"));
}
#endif

TEST(Faults, LaunchThatNoGpuWouldStart) {
  static const HostKernel kernel{"attend_test", kThreads, 1, [](Thread&, const void*) {}};
  const Launch good{.kernel = &kernel,
                    .grid = {1, 1, 1},
                    .threads = kThreads,
                    .shared_bytes = 0,
                    .args = nullptr};
  EXPECT_EQ(execute(good), "");
  Launch bad = good;
  bad.threads = 64;
  EXPECT_EQ(execute(bad), "attend_test: block is 64, expected 128 threads");
  bad = good;
  bad.shared_bytes = 300000;
  EXPECT_EQ(execute(bad), "attend_test: shared memory is 300000, expected at most 262144 bytes");
  bad = good;
  bad.grid = {1, 0, 1};
  EXPECT_THAT(execute(bad), StartsWith("attend_test: grid is (1, 0, 1), expected at least 1 each"));
}

// Each host thread has blocks of its own; one thread's fault is not another's.
TEST(Faults, SeveralHostThreads) {
  std::vector<std::string> errors(4);
  std::vector<int> sums(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 4; ++round) {
        int sum = 0;
        errors[t] = run_kernel([&sum, t](Thread& x) {
          auto* shared = reinterpret_cast<int*>(x.shared());
          shared[x.tid()] = x.tid();
          if (t % 2 && x.tid() == 1) x.warp_sync();
          x.sync();
          x.atomic_add(&sum, shared[kThreads - 1 - x.tid()]);
        });
        sums[t] += sum;
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < 4; ++t) {
    EXPECT_EQ(errors[t].find("deadlock") != std::string::npos, t % 2 == 1) << errors[t];
    EXPECT_EQ(sums[t], t % 2 ? 0 : 4 * kThreads * (kThreads - 1) / 2);
  }
}

}  // namespace
}  // namespace attend::simt
