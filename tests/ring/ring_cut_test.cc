// Which rows a rank holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "attend/ring.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

TEST(RingCut, WorkedExamples) {
  const auto cut = [](RingPlacement p, int64_t length, int32_t rank, int32_t ranks) {
    const auto [a, b] = ring_cut(p, length, rank, ranks);
    return std::vector<int64_t>{a.first, a.count, b.first, b.count};
  };
  using V = std::vector<int64_t>;
  const RingPlacement line = RingPlacement::kContiguous, zigzag = RingPlacement::kZigzag;
  EXPECT_EQ(cut(line, 12, 0, 3), (V{0, 4, 0, 0}));
  EXPECT_EQ(cut(line, 12, 2, 3), (V{8, 4, 0, 0}));
  EXPECT_EQ(cut(line, 10, 0, 4), (V{0, 2, 0, 0}));  // 0 2 5 7 10
  EXPECT_EQ(cut(line, 10, 1, 4), (V{2, 3, 0, 0}));
  EXPECT_EQ(cut(line, 2, 0, 4), (V{0, 0, 0, 0}));  // 0 0 1 1 2
  EXPECT_EQ(cut(line, 2, 1, 4), (V{0, 1, 0, 0}));
  EXPECT_EQ(cut(zigzag, 16, 0, 2), (V{0, 4, 12, 4}));
  EXPECT_EQ(cut(zigzag, 16, 1, 2), (V{4, 4, 8, 4}));
  EXPECT_EQ(cut(zigzag, 11, 0, 3), (V{0, 1, 9, 2}));  // 0 1 3 5 7 9 11
  EXPECT_EQ(cut(zigzag, 11, 1, 3), (V{1, 2, 7, 2}));
  EXPECT_EQ(cut(zigzag, 11, 2, 3), (V{3, 2, 5, 2}));
  EXPECT_EQ(cut(zigzag, 5, 0, 1), (V{0, 2, 2, 3}));
}

TEST(RingCut, EveryRowIsOnOneRank) {
  for (const RingPlacement placement : {RingPlacement::kContiguous, RingPlacement::kZigzag})
    for (int32_t ranks = 1; ranks <= 8; ++ranks)
      for (int64_t length = 0; length < 70; ++length) {
        std::vector<int> seen(static_cast<size_t>(length));
        for (int32_t r = 0; r < ranks; ++r)
          for (const RingSpan& span : ring_cut(placement, length, r, ranks))
            for (int64_t i = span.first; i < span.first + span.count; ++i)
              ++seen.at(static_cast<size_t>(i));
        EXPECT_EQ(seen, std::vector<int>(static_cast<size_t>(length), 1));
      }
}

// What zigzag is for: under a causal mask, row i sees i + 1 keys.
TEST(RingCut, ZigzagBalancesCausalWork) {
  constexpr int64_t kLength = 8000;
  for (int32_t ranks = 2; ranks <= 8; ++ranks) {
    double least = 1e30, most = 0;
    for (int32_t r = 0; r < ranks; ++r) {
      double pairs = 0;
      for (const RingSpan& span : ring_cut(RingPlacement::kZigzag, kLength, r, ranks))
        for (int64_t i = span.first; i < span.first + span.count; ++i)
          pairs += static_cast<double>(i + 1);
      least = std::min(least, pairs);
      most = std::max(most, pairs);
    }
    EXPECT_LT(most / least, 1.005) << ranks;
  }
}

TEST(RingCut, LengthsBeyond2To32) {
  const int64_t length = (int64_t{1} << 61) + 3;
  const auto [a, b] = ring_cut(RingPlacement::kZigzag, length, 0, 8);
  EXPECT_EQ(a.first, 0);
  EXPECT_EQ(b.first + b.count, length);
  EXPECT_EQ(a.count, length / 16);
}

TEST(RingCut, Refusals) {
  const auto refused = [](int64_t length, int32_t rank, int32_t ranks) {
    const Thrown t = thrown([&] { ring_cut(RingPlacement::kZigzag, length, rank, ranks); });
    EXPECT_EQ(t.code, ErrorCode::kInvalidArgument);
    return t.what;
  };
  EXPECT_EQ(refused(-1, 0, 1), "ring_cut: length is -1, expected 0 or more");
  EXPECT_EQ(refused(1, 0, 0), "ring_cut: ranks is 0, expected 1 or more");
  EXPECT_EQ(refused(1, 3, 3), "ring_cut: rank is 3, expected 0 to 2");
  EXPECT_EQ(refused(1, -1, 3), "ring_cut: rank is -1, expected 0 to 2");
}

}  // namespace
}  // namespace attend::testing
