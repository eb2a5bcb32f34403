// Built with the thread sanitizer alone: it reports what threads of a kernel, or its blocks, do to the
// same memory unless a barrier or a fence orders it, even where every order gives the right result.
#include <gtest/gtest.h>

#include <vector>

#include "tests/simt/run_kernel.h"

namespace attend::simt {
namespace {

using gpu::Thread;

constexpr int kReported = 66;  // the exit status of the thread sanitizer

class Race : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

int* words(const Thread& x) { return reinterpret_cast<int*>(x.shared()); }

template <class Body>
void expect_race(const Body& body, gpu::Index3 grid = {1, 1, 1}) {
  EXPECT_EXIT(
      {
        run_kernel(body, {.grid = grid});
        std::exit(0);
      },
      testing::ExitedWithCode(kReported), "data race");
}

TEST_F(Race, NoBarrierBetweenWriteAndRead) {
  int sum = 0;
  expect_race([&sum](Thread& x) {
    words(x)[x.tid()] = 1;
    if (x.tid() == kThreads - 1) sum = words(x)[0];
  });
}

TEST_F(Race, NoBarrierBeforeTheNextWrite) {
  std::vector<int> got(kThreads);
  expect_race([got = got.data()](Thread& x) {
    for (int round = 0; round < 2; ++round) {
      words(x)[x.tid()] = round;
      x.sync();
      got[x.tid()] = words(x)[(x.tid() + 1) % kThreads];
    }
  });
}

TEST_F(Race, ShufflesOrderNoMemory) {
  std::vector<int> got(kThreads);
  expect_race([got = got.data()](Thread& x) {
    words(x)[x.tid()] = x.tid();
    x.shfl_xor(1, 1);
    got[x.tid()] = words(x)[x.tid() ^ 1];
  });
}

TEST_F(Race, WarpBarriersOrderNoOtherWarp) {
  std::vector<int> got(kThreads);
  expect_race([got = got.data()](Thread& x) {
    words(x)[x.tid()] = x.tid();
    x.warp_sync();
    got[x.tid()] = words(x)[kThreads - 1 - x.tid()];
  });
}

TEST_F(Race, CopiesAreSeenByOthersAfterABarrier) {
  alignas(16) static const char from[16] = {};
  std::vector<int> got(kThreads);
  expect_race([got = got.data()](Thread& x) {
    x.copy16(x.shared() + x.tid() * 16, from, true);
    x.copy_commit();
    x.copy_wait<0>();
    got[x.tid()] = words(x)[4 * (x.tid() ^ 1)];
  });
}

TEST_F(Race, BlocksThatWriteTheSameElement) {
  int element = 0;
  expect_race(
      [&element](Thread& x) {
        if (x.tid() == x.block().x) element = 1;
      },
      {2, 1, 1});
}

TEST_F(Race, NoFenceBeforeTheLastBlockReads) {
  std::vector<int> parts(4 * kThreads);
  int arrived = 0, sum = 0;
  expect_race(
      [parts = parts.data(), &arrived, &sum](Thread& x) {
        parts[x.block().x * kThreads + x.tid()] = 1;
        x.sync();
        if (x.tid() != 0 || x.atomic_add(&arrived, 1) != 3) return;
        for (int i = 0; i < 4 * kThreads; ++i) sum += parts[i];
      },
      {4, 1, 1});
}

}  // namespace
}  // namespace attend::simt
