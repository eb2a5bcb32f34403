// The in-process transport: what is sent arrives, sizes may differ, and nobody is left waiting.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "attend/ring.h"
#include "tests/support/noise.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

// Each rank in a thread of its own.
void on_ranks(InProcessRing& ring, const std::function<void(RingTransport&)>& body) {
  std::vector<std::thread> threads;
  for (int32_t r = 0; r < ring.size(); ++r)
    threads.emplace_back([&ring, &body, r] { body(*ring.transport(r)); });
  for (std::thread& t : threads) t.join();
}

// What rank r sends at step n: other sizes on every rank and step, some of them 0.
std::vector<uint8_t> message(int32_t rank, int step) {
  const uint64_t draw = hash(static_cast<uint64_t>(rank), static_cast<uint64_t>(step));
  std::vector<uint8_t> bytes(draw % 3 == 0 ? 0 : draw % 5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(draw >> (i % 57));
  return bytes;
}

TEST(InProcessRing, BlocksOfAnySizeArrive) {
  for (int32_t n = 1; n <= 8; ++n) {
    InProcessRing ring(n);
    std::atomic<int> right{0};
    on_ranks(ring, [&](RingTransport& t) {
      EXPECT_EQ(t.size(), n);
      EXPECT_TRUE(t.reaches(DeviceType::kNative));
      EXPECT_FALSE(t.reaches(DeviceType::kCuda));
      for (int step = 0; step < 50; ++step) {
        const std::vector<uint8_t> sent = message(t.rank(), step),
                                   expected = message((t.rank() + n - 1) % n, step);
        std::vector<uint8_t> got(expected.size(), 0xEE);
        if (!t.start(sent.data(), sent.size(), got.data(), got.size(), nullptr)) return;
        if (!t.wait(nullptr)) return;
        right += got == expected;
      }
    });
    EXPECT_EQ(right, 50 * n);
  }
}

TEST(InProcessRing, NothingIsWrittenBeyondTheBlock) {
  InProcessRing ring(2);
  on_ranks(ring, [&](RingTransport& t) {
    const std::vector<uint8_t> sent(10, static_cast<uint8_t>(t.rank() + 1));
    std::vector<uint8_t> got(12, 0xEE);
    ASSERT_TRUE(t.start(sent.data(), 10, got.data() + 1, 10, nullptr));
    ASSERT_TRUE(t.wait(nullptr));
    EXPECT_EQ(got.front(), 0xEE);
    EXPECT_EQ(got.back(), 0xEE);
    EXPECT_EQ(got[1], 2 - t.rank());
  });
}

TEST(InProcessRing, SizesThatDoNotFitFailOnAllRanks) {
  InProcessRing ring(3);
  std::atomic<int> failed{0};
  on_ranks(ring, [&](RingTransport& t) {
    char sent[8] = {}, got[8];
    Status s = t.start(sent, 8, got, t.rank() == 1 ? 6 : 8, nullptr);
    if (s) s = t.wait(nullptr);
    failed += !s && to_string(s) == "the ring was aborted: rank 1 expects 6 bytes and is sent 8";
  });
  // Ranks that had both their blocks before are through; rank 1 is not, nor who waits for it.
  EXPECT_GE(failed, 1);
  char byte = 0;
  for (int32_t r = 0; r < 3; ++r)
    EXPECT_FALSE(ring.transport(r)->start(&byte, 1, &byte, 1, nullptr));
}

// A rank that never comes: the others wait until someone says so.
TEST(InProcessRing, AbortLetsTheOthersGo) {
  InProcessRing ring(4);
  std::atomic<int> waiting{0}, failed{0};
  on_ranks(ring, [&](RingTransport& t) {
    if (t.rank() == 2) {
      while (waiting < 3) std::this_thread::yield();
      t.abort("rank 2 has lost its {power}");
      t.abort("and says so twice");
      return;
    }
    char sent = 0, got = 0;
    ASSERT_TRUE(t.start(&sent, 1, &got, 1, nullptr));
    ++waiting;
    const Status s = t.wait(nullptr);
    if (t.rank() == 0) return;  // has neighbours that came, and may be through
    EXPECT_EQ(s.code, ErrorCode::kDeviceError);
    EXPECT_EQ(to_string(s), "the ring was aborted: rank 2 has lost its (power)");
    failed += !s;
    EXPECT_FALSE(t.start(&sent, 1, &got, 1, nullptr));  // and so for ever
  });
  EXPECT_EQ(failed, 2);
  ring.reset();
  std::atomic<int> right{0};
  on_ranks(ring, [&](RingTransport& t) {
    const int sent = t.rank();
    int got = -1;
    ASSERT_TRUE(t.start(&sent, sizeof sent, &got, sizeof got, nullptr));
    ASSERT_TRUE(t.wait(nullptr));
    right += got == (t.rank() + 3) % 4;
  });
  EXPECT_EQ(right, 4);
}

// Aborts that meet exchanges at any moment: buffers are given back whole, and all ranks return.
TEST(InProcessRing, AbortAtAnyMoment) {
  for (int round = 0; round < 200; ++round) {
    InProcessRing ring(3);
    on_ranks(ring, [&](RingTransport& t) {
      for (int step = 0; step < 8; ++step) {
        if (t.rank() == round % 3 && step == round % 8) {
          t.abort("enough");
          return;
        }
        std::vector<uint8_t> sent(3000, static_cast<uint8_t>(step)), got(3000);
        if (!t.start(sent.data(), sent.size(), got.data(), got.size(), nullptr)) return;
        if (!t.wait(nullptr)) return;
        EXPECT_EQ(got.back(), step);
      }
    });
  }
}

TEST(InProcessRing, OutOfTurn) {
  InProcessRing ring(1);
  RingTransport& t = *ring.transport(0);
  EXPECT_EQ(to_string(t.wait(nullptr)),
            "no exchange is under way on this rank, expected start() before wait()");
  char a = 1, b = 0;
  ASSERT_TRUE(t.start(&a, 1, &b, 1, nullptr));
  EXPECT_EQ(to_string(t.start(&a, 1, &b, 1, nullptr)),
            "an exchange is under way on this rank, expected wait() before the next start()");
  ASSERT_TRUE(t.wait(nullptr));  // with itself
  EXPECT_EQ(b, 1);
}

TEST(InProcessRing, Refusals) {
  EXPECT_EQ(thrown([] { InProcessRing ring(0); }).what,
            "InProcessRing: ranks is 0, expected 1 or more");
  InProcessRing ring(2);
  const Thrown t = thrown([&] { ring.transport(2); });
  EXPECT_EQ(t.what, "InProcessRing: rank is 2, expected 0 to 1");
  EXPECT_EQ(t.code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace attend::testing
