// The running softmax and the merge against sums in float64, and what they do where there is
// nothing to sum.
#include "ops/common/online_softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "ops/common/score.h"

namespace attend {
namespace {

constexpr float kInf = INFINITY;

// lse of scores, by float64.
double lse_of(const std::vector<float>& scores) {
  double top = -INFINITY, sum = 0;
  for (const float s : scores) top = std::max(top, static_cast<double>(s));
  if (top == -INFINITY) return top;
  for (const float s : scores) sum += std::exp(s - top);
  return top + std::log(sum);
}

struct Row {
  OnlineSoftmax state;
  float acc = 0;  // sum of weight * value, every value 1

  void add(const float* scores, size_t n) {
    float top = -kInf;
    for (size_t j = 0; j < n; ++j) top = std::fmax(top, scores[j]);
    acc *= state.admit(top);
    for (size_t j = 0; j < n; ++j) {
      const float w = std::exp(scores[j] - state.base());
      state.l += w;
      acc += w;
    }
  }
};

TEST(OnlineSoftmax, IsTheSameForEveryPartition) {
  std::mt19937 rng(7);
  std::uniform_real_distribution<float> uniform(-30, 30);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> scores(1 + rng() % 40);
    for (float& s : scores) s = rng() % 5 == 0 ? -kInf : uniform(rng);
    const double want = lse_of(scores);
    Row row;
    for (size_t at = 0; at < scores.size();) {
      const size_t n = std::min<size_t>(1 + rng() % 7, scores.size() - at);
      row.add(scores.data() + at, n);
      at += n;
    }
    if (want == -INFINITY) {
      EXPECT_EQ(row.state.lse(), -kInf);
      EXPECT_EQ(row.acc * row.state.inverse_sum(), 0.0f);
      continue;
    }
    // Contract 8's bound on lse, with C = the largest score: 4 eps (C + |lse| + 1).
    EXPECT_NEAR(row.state.lse(), want, 4 * std::ldexp(30 + std::fabs(want) + 1, -24));
    EXPECT_NEAR(row.acc * row.state.inverse_sum(), 1.0, 1e-5);
  }
}

TEST(OnlineSoftmax, AnEmptyRowIsZeroAndMinusInfinity) {
  Row row;
  EXPECT_EQ(row.state.lse(), -kInf);
  const std::vector<float> hidden(5, -kInf);
  row.add(hidden.data(), hidden.size());
  row.add(hidden.data(), hidden.size());
  EXPECT_EQ(row.state.l, 0.0f);
  EXPECT_EQ(row.state.lse(), -kInf);
  EXPECT_EQ(row.acc * row.state.inverse_sum(), 0.0f);
  EXPECT_EQ(row.state.admit_sink(-kInf), 1.0f);
  EXPECT_EQ(row.state.lse(), -kInf);
  const float late = 3;  // keys that come after hidden ones count as if alone
  row.add(&late, 1);
  EXPECT_FLOAT_EQ(row.state.lse(), 3.0f);
  EXPECT_FLOAT_EQ(row.acc * row.state.inverse_sum(), 1.0f);
}

TEST(OnlineSoftmax, SinksJoinTheSumWithoutAValue) {
  for (const float sink : {-2.0f, 0.5f, 9.0f}) {
    Row row;
    const std::vector<float> scores = {0.25f, -1.0f, 2.0f};
    row.add(scores.data(), scores.size());
    row.acc *= row.state.admit_sink(sink);
    std::vector<float> all = scores;
    all.push_back(sink);
    EXPECT_NEAR(row.state.lse(), lse_of(all), 1e-6);
    EXPECT_NEAR(row.acc * row.state.inverse_sum(), std::exp(lse_of(scores) - lse_of(all)), 1e-6);
  }
  OnlineSoftmax alone;  // no key: lse of the sinks
  alone.admit_sink(1.5f);
  alone.admit_sink(1.5f);
  EXPECT_NEAR(alone.lse(), 1.5 + std::log(2.0), 1e-6);
}

TEST(OnlineSoftmax, ExtremeScoresNeitherOverflowNorVanish) {
  Row row;
  const std::vector<float> scores = {-3e38f, 3e38f, 3e38f};
  for (const float s : scores) row.add(&s, 1);
  EXPECT_EQ(row.state.lse(), 3e38f);
  EXPECT_FLOAT_EQ(row.state.l, 2.0f);
}

// NaN in visible data shows.
TEST(OnlineSoftmax, NanShows) {
  Row row;
  const std::vector<float> scores = {1.0f, NAN};
  row.add(scores.data(), scores.size());
  EXPECT_TRUE(std::isnan(row.state.lse()));
  EXPECT_TRUE(std::isnan(row.acc * row.state.inverse_sum()));
}

TEST(Merge, JoinsPartsAsIfTheyWereOne) {
  std::mt19937 rng(11);
  std::uniform_real_distribution<float> uniform(-40, 40);
  for (int trial = 0; trial < 200; ++trial) {
    const float a = uniform(rng), b = uniform(rng);
    const MergeWeights w = merge_weights(a, b);
    const double lse = lse_of({a, b});
    EXPECT_NEAR(w.lse, lse, 4 * std::ldexp(40 + std::fabs(lse) + 1, -24));
    EXPECT_NEAR(w.factor_a, std::exp(a - lse), 1e-6);
    EXPECT_NEAR(w.factor_b, std::exp(b - lse), 1e-6);
  }
}

TEST(Merge, AnEmptyPartContributesNothing) {
  const MergeWeights left = merge_weights(2.5f, -kInf), right = merge_weights(-kInf, 2.5f);
  EXPECT_EQ(left.factor_a, 1.0f);
  EXPECT_EQ(left.factor_b, 0.0f);
  EXPECT_EQ(left.lse, 2.5f);
  EXPECT_EQ(right.factor_a, 0.0f);
  EXPECT_EQ(right.factor_b, 1.0f);
  const MergeWeights none = merge_weights(-kInf, -kInf);
  EXPECT_EQ(none.factor_a, 0.0f);
  EXPECT_EQ(none.factor_b, 0.0f);
  EXPECT_EQ(none.lse, -kInf);
}

TEST(Merge, NanShows) {
  EXPECT_TRUE(std::isnan(merge_weights(NAN, 1.0f).lse));
  EXPECT_TRUE(std::isnan(merge_weights(1.0f, NAN).lse));
  EXPECT_TRUE(std::isnan(merge_weights(NAN, -kInf).lse));
}

// Contract 2, steps 1 to 3, each on numbers that a reader can check by hand.
TEST(ScoreMod, AppliesTheStepsInOrder) {
  ScoreMod mod;
  mod.scale = -0.5f;
  EXPECT_EQ(mod.scaled(6.0f), -3.0f);
  EXPECT_EQ(mod.capped(-3.0f), -3.0f);
  mod.softcap = 2.0f;
  EXPECT_NEAR(mod.capped(-3.0f), 2 * std::tanh(-1.5), 1e-6);
  EXPECT_NEAR(mod.capped(1e30f), 2.0, 1e-6);
  mod.slope = 0.25f;
  EXPECT_EQ(mod.biased(1.0f, 10.0f, 4.0f), 10.0f);
  EXPECT_EQ(mod.biased(1.0f, -kInf, 4.0f), -kInf);
}

}  // namespace
}  // namespace attend
