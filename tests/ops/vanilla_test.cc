// What vanilla alone has: weights, scores, dropout, init_bias.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/ops/rows.h"
#include "tests/support/philox.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

class Vanilla : public RowTest {
 protected:
  double tolerance() const {
    return dtype() == DType::kF32 ? 2e-6 : dtype() == DType::kF16 ? 4e-3 : 3e-2;
  }
  void near(const std::vector<double>& got, const std::vector<double>& want) const {
    ASSERT_EQ(got.size(), want.size());
    for (size_t n = 0; n < got.size(); ++n) {
      if (std::isinf(want[n]))
        EXPECT_EQ(got[n], want[n]) << n;
      else
        EXPECT_NEAR(got[n], want[n], tolerance() * std::max(1.0, std::abs(want[n]))) << n;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, Vanilla, ::testing::ValuesIn(rows_and_dtypes({OpId::kVanilla})),
                         [](const auto& p) { return test_name(p.param); });

// O7: scaled scores as printed there; the cap and the mask by their definitions.
TEST_P(Vanilla, HandsOutScoresAtEachStage) {
  const Values keep(DType::kBool, {2, 3}, {1, 1, 0, 1, 1, 1});
  const std::vector<double> scaled = {8.105894,  5.252620,  -6.320349,
                                      13.935941, 15.394683, -8.702761};
  std::vector<double> capped, masked;
  for (double s : scaled) capped.push_back(2 * std::tanh(s / 2));
  masked = capped;
  masked[2] = -INFINITY;
  for (const auto& [stage, want] :
       {std::pair(ScoresStage::kScaled, scaled), std::pair(ScoresStage::kCapped, capped),
        std::pair(ScoresStage::kMasked, masked)}) {
    Worked w(2, 3, 1, 1, dtype(), 1, 4);
    w.params.softcap = 2;
    w.params.mask.keep = keep;
    w.ask_for_scores(stage);
    if (!run(w.args, w.params)) return;
    near(w.scores.all(), want);
  }
}

TEST_P(Vanilla, WeightsMayHaveTheTypeOfQ) {
  Worked w(2, 3, 1, 1, dtype());
  w.ask_for_weights(dtype());
  if (!run(w.args, w.params)) return;
  near(w.weights.all(), {0.445917, 0.373084, 0.180999, 0.427642, 0.468464, 0.103894});
}

// The contract's drawing: key = seed, counter = (j / 4, i, b * heads + h, low word of offset), word
// j mod 4.
bool kept(uint64_t seed, uint64_t offset, int64_t row, int64_t head, int64_t key, double p) {
  const auto words = philox4x32({static_cast<uint32_t>(key / 4), static_cast<uint32_t>(row),
                                 static_cast<uint32_t>(head), static_cast<uint32_t>(offset)},
                                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return words[static_cast<size_t>(key % 4)] >= std::floor(p * 4294967296.0);
}

// O15: a seed that draws the pattern of that table, keep rows [1 0 1] and [0 1 1]; after softmax,
// over 1 - p.
TEST_P(Vanilla, O15Dropout) {
  const bool pattern[2][3] = {{true, false, true}, {false, true, true}};
  const auto draws_pattern = [&](uint64_t seed) {
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 3; ++j)
        if (kept(seed, 0, i, 0, j, 0.25) != pattern[i][j]) return false;
    return true;
  };
  uint64_t seed = 0xA5A5A5A500000000;  // both words of the key count
  while (!draws_pattern(seed)) ++seed;
  Worked w(2, 3, 1, 1, dtype());
  w.ask_for_weights();
  w.params.deterministic = false;
  w.params.dropout_p = 0.25f;
  w.params.dropout_seed = seed;
  if (!run(w.args, w.params)) return;
  near(w.weights.all(), {0.594556, 0, 0.241332, 0, 0.624618, 0.138525});
  near(w.out.all(), {0.337865, 0.364650, 0.392386, -0.043675});
  // The lse is of the softmax, before dropout.
  EXPECT_NEAR(w.lse.all()[0], 1.314241, tolerance());
}

TEST_P(Vanilla, DropoutDrawsTheContractsMask) {
  constexpr int64_t kRows = 20, kKeys = 50, kHeads = 3, kBatch = 2;
  for (uint64_t offset : {uint64_t{0}, uint64_t{7}, uint64_t{7} << 32}) {
    Worked w(kRows, kKeys, kHeads, kHeads, dtype(), kBatch);
    w.ask_for_weights();
    w.params.deterministic = false;
    w.params.dropout_p = 0.4f;
    w.params.dropout_seed = 0x123456789abcdef;
    w.params.dropout_offset = offset;
    if (!run(w.args, w.params)) return;
    int64_t keeps = 0;
    for (int64_t b = 0; b < kBatch; ++b)
      for (int64_t h = 0; h < kHeads; ++h)
        for (int64_t i = 0; i < kRows; ++i)
          for (int64_t j = 0; j < kKeys; ++j) {
            const bool keep = kept(0x123456789abcdef, offset, i, b * kHeads + h, j, 0.4f);
            keeps += keep;
            ASSERT_EQ(load(w.args.weights, {b, h, i, j}) != 0, keep)
                << b << " " << h << " " << i << " " << j;
          }
    EXPECT_NEAR(static_cast<double>(keeps) / (kBatch * kHeads * kRows * kKeys), 0.6, 0.03);
  }
}

TEST_P(Vanilla, DeterministicSwitchesDropoutOff) {
  Worked plain(2, 3, 1, 1, dtype()), off(2, 3, 1, 1, dtype());
  off.params.dropout_p = 0.5f;  // no seed is needed either
  if (!run(plain.args, plain.params) || !run(off.args, off.params)) return;
  EXPECT_EQ(plain.out.memory, off.out.memory);
}

struct BiasMaker {
  Values bias{DType::kF32, {2, 3}, {0, 1, -1, 2, 0, 0.5}};
  int calls = 0;
  static TensorView make(void* user) {
    auto* self = static_cast<BiasMaker*>(user);
    ++self->calls;
    return self->bias;
  }
  InitBias hook() { return {make, this}; }
};

TEST_P(Vanilla, InitBiasIsAskedWhenMaskAndBiasAreAbsent) {
  Worked w(2, 3, 1, 1, dtype());
  BiasMaker maker;
  w.params.init_bias = maker.hook();
  if (!run(w.args, w.params)) return;
  EXPECT_EQ(maker.calls, 1);
  near(w.out.all(), {0.701060, 0.344205, 0.719490, 0.805772});  // O2, bias only
}

TEST_P(Vanilla, InitBiasIsNotAskedBesideAMask) {
  Worked w(2, 3, 1, 1, dtype());
  BiasMaker maker;
  const Values keep(DType::kBool, {2, 3}, {1, 0, 1, 0, 1, 1});
  w.params.init_bias = maker.hook();
  w.params.mask.keep = keep;
  if (!run(w.args, w.params)) return;
  EXPECT_EQ(maker.calls, 0);
  near(w.out.all(), {0.404199, 0.436243, 0.514170, -0.057230});  // O2, mask only
}

TEST_P(Vanilla, InitBiasIsNotAskedBesideABias) {
  Worked w(2, 3, 1, 1, dtype());
  BiasMaker maker;
  const Values bias(DType::kF32, {2, 3}, {0, 0, 0, 0, 0, 0});
  w.params.init_bias = maker.hook();
  w.params.bias = bias;
  if (!run(w.args, w.params)) return;
  EXPECT_EQ(maker.calls, 0);
  near(w.out.all(), {0.531609, 0.326137, 0.629273, 0.394704});  // O1
}

}  // namespace
}  // namespace attend::testing
