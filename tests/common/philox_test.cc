#include "ops/common/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace attend {
namespace {

// Known answers of philox4x32 with 10 rounds: kat_vectors of Random123 (D. E. Shaw Research).
TEST(Philox, KnownAnswers) {
  struct Known {
    std::array<uint32_t, 4> counter;
    std::array<uint32_t, 2> key;
    std::array<uint32_t, 4> words;
  };
  const Known known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Known& k : known) {
    const Philox4x32 got = philox4x32(k.counter[0], k.counter[1], k.counter[2], k.counter[3],
                                      static_cast<uint64_t>(k.key[1]) << 32 | k.key[0]);
    for (size_t w = 0; w < 4; ++w) EXPECT_EQ(got.word[w], k.words[w]) << w;
  }
}

// Contract 2, step 6: counter = (floor(j/4), i, b * heads + h, offset), word j mod 4.
TEST(Dropout, CounterIsThatOfTheContract) {
  Dropout d;
  d.seed = 0x299f31d0a4093822ull;
  d.offset = 0x03707344;
  const int64_t j = int64_t{0x243f6a88} * 4 + 2;
  const Philox4x32 words = d.words(0x13198a2e, 0x85a308d3, j);
  EXPECT_EQ(words.word[j % 4], 0x5001e420u);
}

TEST(Dropout, KeepsFromTheThresholdOn) {
  Dropout d;
  Philox4x32 words{{99, 100, 101, 0xffffffff}};
  d.threshold = 100;
  EXPECT_FALSE(d.keeps(words, 0));
  EXPECT_TRUE(d.keeps(words, 1));
  EXPECT_TRUE(d.keeps(words, 6));
  EXPECT_TRUE(d.keeps(words, 3));
  d.threshold = 0;  // p = 0 keeps all
  words.word[0] = 0;
  EXPECT_TRUE(d.keeps(words, 4));
}

// The share that is dropped is p, within six standard deviations of the count.
TEST(Dropout, DropsItsShare) {
  for (const double p : {0.1, 0.5, 0.9}) {
    Dropout d;
    d.seed = 42;
    d.threshold = static_cast<uint64_t>(std::floor(p * 4294967296.0));
    constexpr int64_t kRows = 100, kKeys = 400;
    int64_t dropped = 0;
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kKeys; ++j) dropped += !d.keeps(d.words(3, i, j), j);
    const double n = kRows * kKeys;
    EXPECT_NEAR(static_cast<double>(dropped), n * p, 6 * std::sqrt(n * p * (1 - p)));
  }
}

}  // namespace
}  // namespace attend
