// What a kernel may rely on: every member of Thread, in every order of the threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/simt/run_kernel.h"

namespace attend::simt {
namespace {

using gpu::Thread;
constexpr int kWarp = Thread::kWarp;

class InEveryOrder : public testing::TestWithParam<Order> {
 protected:
  template <class Body>
  void run(const Body& body, gpu::Index3 grid = {1, 1, 1}) {
    EXPECT_EQ(run_kernel(body, {.grid = grid, .order = GetParam()}), "");
  }
};
INSTANTIATE_TEST_SUITE_P(Executor, InEveryOrder, testing::ValuesIn(kOrders));

TEST_P(InEveryOrder, EachThreadOfEachBlockRunsOnce) {
  std::vector<int> runs(kThreads * 24);
  run(
      [out = runs.data()](Thread& x) {
        const gpu::Index3 b = x.block();
        ++out[((b.z * 3 + b.y) * 2 + b.x) * kThreads + x.warp() * kWarp + x.lane()];
        ++out[((b.z * 3 + b.y) * 2 + b.x) * kThreads + x.tid()];
      },
      {2, 3, 4});
  EXPECT_EQ(runs, std::vector<int>(runs.size(), 2));
}

TEST_P(InEveryOrder, SharedMemoryStartsAsNaNInEachBlock) {
  std::vector<int> numbers(3);
  run(
      [out = numbers.data()](Thread& x) {
        auto* shared = reinterpret_cast<float*>(x.shared());
        const bool number = !std::isnan(shared[x.tid()]);
        x.sync();
        shared[x.tid()] = 1.0f;
        if (number) x.atomic_add(&out[x.block().x], 1);
      },
      {3, 1, 1});
  EXPECT_EQ(numbers, std::vector<int>(3));
}

TEST_P(InEveryOrder, SyncShowsWhatTheWholeBlockWrote) {
  std::vector<int> sums(kThreads);
  run([out = sums.data()](Thread& x) {
    auto* shared = reinterpret_cast<int*>(x.shared());
    for (int round = 0; round < 5; ++round) {
      shared[x.tid()] = x.tid() * round;
      x.sync();
      out[x.tid()] += std::accumulate(shared, shared + kThreads, 0);
      x.sync();
    }
  });
  EXPECT_EQ(sums, std::vector<int>(kThreads, 10 * kThreads * (kThreads - 1) / 2));
}

TEST_P(InEveryOrder, WarpSyncShowsWhatTheWarpWrote) {
  std::vector<int> got(kThreads);
  run([out = got.data()](Thread& x) {
    auto* shared = reinterpret_cast<int*>(x.shared()) + x.warp() * kWarp;
    for (int round = 1; round < 5; ++round) {
      shared[x.lane()] = x.tid() * round;
      x.warp_sync();
      out[x.tid()] += shared[(x.lane() + round) % kWarp];
      x.warp_sync();
    }
  });
  for (int t = 0; t < kThreads; ++t) {
    int want = 0;
    for (int round = 1; round < 5; ++round)
      want += (t / kWarp * kWarp + (t + round) % kWarp) * round;
    EXPECT_EQ(got[static_cast<size_t>(t)], want) << t;
  }
}

TEST_P(InEveryOrder, ShufflesMoveWordsInsideAWarp) {
  std::vector<int> bad(1);
  run([out = bad.data()](Thread& x) {
    const int first = x.warp() * kWarp;
    for (int mask = 1; mask < kWarp; mask *= 2)
      if (x.shfl_xor(x.tid(), mask) != first + (x.lane() ^ mask)) x.atomic_add(out, 1);
    for (int lane = 0; lane < kWarp; ++lane)
      if (x.shfl(static_cast<float>(x.tid()), lane) != static_cast<float>(first + lane))
        x.atomic_add(out, 1);
    const int next = (x.lane() + 1) % kWarp;  // each lane asks another
    if (x.shfl(x.tid(), next) != first + next) x.atomic_add(out, 1);
  });
  EXPECT_EQ(bad[0], 0);
}

TEST_P(InEveryOrder, BallotHasABitForEachLane) {
  std::vector<uint64_t> got(kThreads * 2);
  run([out = got.data()](Thread& x) {
    out[2 * x.tid()] = x.ballot(x.lane() % 3 == x.warp() % 3);
    out[2 * x.tid() + 1] = x.ballot(true);
  });
  for (int t = 0; t < kThreads; ++t) {
    uint64_t want = 0;
    for (int lane = 0; lane < kWarp; ++lane) want |= uint64_t{lane % 3 == t / kWarp % 3} << lane;
    EXPECT_EQ(got[static_cast<size_t>(2 * t)], want);
    EXPECT_EQ(got[static_cast<size_t>(2 * t + 1)], ~uint64_t{0} >> (64 - kWarp));
  }
}

TEST_P(InEveryOrder, CollectiveRunsOnceWithTheArgumentsInLaneOrder) {
  std::vector<int> got(kThreads);
  int calls = 0;
  run([out = got.data(), &calls](Thread& x) {
    struct Args {
      int in, out;
    } args{x.tid() * x.tid(), 0};
    for (int round = 0; round < 3; ++round)
      warp_collective(x, args, [&](Lanes<Args> lanes) {
        ++calls;
        int sum = 0;
        for (int lane = 0; lane < kWarp; ++lane) lanes[lane].out = sum += lanes[lane].in;
      });
    out[x.tid()] = args.out;
  });
  EXPECT_EQ(calls, 3 * kThreads / kWarp);
  for (int t = 0; t < kThreads; ++t) {
    int want = 0;
    for (int i = t / kWarp * kWarp; i <= t; ++i) want += i * i;
    EXPECT_EQ(got[static_cast<size_t>(t)], want) << t;
  }
}

TEST_P(InEveryOrder, AtomicsReturnWhatWasThere) {
  std::vector<int> tickets(4 * kThreads), seen(tickets.size());
  int counter = 0, lowest = 1 << 30;
  run(
      [out = tickets.data(), &counter, &lowest](Thread& x) {
        const int mine = x.block().x * kThreads + x.tid();
        out[mine] = x.atomic_add(&counter, 1);
        for (int old = x.atomic_add(&lowest, 0); mine < old;) {
          const int was = x.atomic_cas(&lowest, old, mine);
          if (was == old) break;
          old = was;
        }
      },
      {4, 1, 1});
  for (const int ticket : tickets) ++seen[static_cast<size_t>(ticket)];
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
  EXPECT_EQ(lowest, 0);
}

// A thread that waits for another of its block gives way to it.
TEST_P(InEveryOrder, ThreadsMayWaitForEachOtherByAtomics) {
  int turn = 0;
  run([&turn](Thread& x) {
    while (x.atomic_add(&turn, 0) != kThreads - 1 - x.tid()) {
    }
    x.atomic_add(&turn, 1);
  });
  EXPECT_EQ(turn, kThreads);
}

// The last block to arrive sees what all have written.
TEST_P(InEveryOrder, FenceAndAtomicPassResultsBetweenBlocks) {
  std::vector<int> parts(8 * kThreads);
  int arrived = 0, sum = 0;
  run(
      [parts = parts.data(), &arrived, &sum](Thread& x) {
        auto* last = reinterpret_cast<int*>(x.shared());
        parts[x.block().x * kThreads + x.tid()] = x.tid();
        x.fence();
        x.sync();
        if (x.tid() == 0) {
          *last = x.atomic_add(&arrived, 1) == 7;
          x.fence();
        }
        x.sync();
        if (*last && x.tid() == 0) sum = std::accumulate(parts, parts + 8 * kThreads, 0);
      },
      {8, 1, 1});
  EXPECT_EQ(sum, 8 * kThreads * (kThreads - 1) / 2);
}

struct alignas(16) Chunk {
  int words[4];
};

TEST_P(InEveryOrder, CopiesLandWhenWaitedFor) {
  std::vector<Chunk> from(3 * kThreads);
  for (size_t i = 0; i < from.size(); ++i)
    for (int w = 0; w < 4; ++w) from[i].words[w] = static_cast<int>(4 * i) + w;
  std::vector<int> bad(1);
  const auto body = [from = from.data(), out = bad.data()](Thread& x) {
    auto* stages = reinterpret_cast<Chunk*>(x.shared());
    const auto stage = [&](int n) { return stages + n % 2 * kThreads; };
    const auto begin = [&](int n) {
      x.copy16(stage(n) + x.tid(), from + n * kThreads + x.tid(), x.tid() % 5 != 0);
      x.copy_commit();
    };
    begin(0);
    for (int n = 0; n < 3; ++n) {
      if (n < 2) begin(n + 1);
      if (n < 2)
        x.copy_wait<1>();
      else
        x.copy_wait<0>();
      x.sync();
      const int other = kThreads - 1 - x.tid();
      for (int w = 0; w < 4; ++w) {
        const int want = other % 5 == 0 ? 0 : 4 * (n * kThreads + other) + w;
        if (stage(n)[other].words[w] != want) x.atomic_add(out, 1);
      }
      x.sync();
    }
  };
  EXPECT_EQ(run_kernel(body, {.shared_bytes = 2 * kThreads * 16, .order = GetParam()}), "");
  EXPECT_EQ(bad[0], 0);
}

// Until then nobody can tell what the target holds: neither what was there nor what is to come.
TEST(Executor, CopiesAreUndefinedUntilWaitedFor) {
  const Chunk from{{1, 2, 3, 4}};
  std::vector<int> got(3);
  const auto body = [&from, out = got.data()](Thread& x) {
    if (x.tid() != 0) return;
    auto* to = reinterpret_cast<Chunk*>(x.shared());
    to->words[0] = 7;
    x.copy16(to, &from, true);
    out[0] = to->words[0];
    x.copy_wait<0>();  // of no group: the copy's is still open
    out[1] = to->words[0];
    x.copy_commit();
    x.copy_wait<0>();
    out[2] = to->words[0];
  };
  EXPECT_EQ(run_kernel(body), "");
  EXPECT_EQ(got, (std::vector<int>{-1, -1, 1}));
}

TEST(Executor, OrdersDiffer) {
  std::vector<std::vector<int>> orders;
  for (const Order& order : kOrders) {
    std::vector<int> turns;
    const auto body = [&turns](Thread& x) {
      const Unwatched the_tests_own;
      turns.push_back(x.block().x * kThreads + x.tid());
    };
    EXPECT_EQ(run_kernel(body, {.grid = {3, 1, 1}, .order = order}), "");
    orders.push_back(turns);
  }
  std::vector<int> forward(3 * kThreads);
  std::iota(forward.begin(), forward.end(), 0);
  EXPECT_EQ(orders[0], forward);
  EXPECT_EQ(orders[1], std::vector<int>(forward.rbegin(), forward.rend()));
  EXPECT_NE(orders[2], orders[0]);
  EXPECT_NE(orders[3], orders[2]);
  for (auto& turns : orders) {
    std::sort(turns.begin(), turns.end());
    EXPECT_EQ(turns, forward);
  }
}

TEST(Executor, SharedMemoryEndsWhereTheLaunchSays) {
  for (const uint32_t bytes : {0u, 16u, 1024u, 4096u, 5120u, 100000u, 262144u}) {
    const auto body = [bytes](Thread& x) {
      for (uint32_t i = static_cast<uint32_t>(x.tid()); i < bytes; i += kThreads) x.shared()[i] = 1;
    };
    EXPECT_EQ(run_kernel(body, {.shared_bytes = bytes}), "") << bytes;
  }
}

}  // namespace
}  // namespace attend::simt
