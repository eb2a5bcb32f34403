#include "strategies/common/draw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace attend::engine {
namespace {

constexpr int kGrid = 100000;

// Shares of the tokens over a grid of u.
std::map<int32_t, double> shares(const std::vector<float>& logits, const SamplingParams& params) {
  std::map<int32_t, double> seen;
  for (int i = 0; i < kGrid; ++i) seen[draw(logits, params, (i + 0.5) / kGrid)] += 1.0 / kGrid;
  return seen;
}

void expect_shares(const std::vector<float>& logits, const SamplingParams& params,
                   const std::map<int32_t, double>& want) {
  const std::map<int32_t, double> got = shares(logits, params);
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [token, share] : want) EXPECT_NEAR(got.at(token), share, 2.0 / kGrid) << token;
}

std::vector<float> logs(const std::vector<double>& shares) {
  std::vector<float> logits;
  for (const double s : shares) logits.push_back(static_cast<float>(std::log(s) + 3.0));
  return logits;
}

const std::vector<float> kLogits = logs({0.10, 0.40, 0.05, 0.25, 0.20});

TEST(Draw, WithoutFiltersSharesAreThoseOfSoftmax) {
  expect_shares(kLogits, {}, {{0, 0.10}, {1, 0.40}, {2, 0.05}, {3, 0.25}, {4, 0.20}});
}

TEST(Draw, TemperatureIsAPowerOfShares) {
  SamplingParams params;
  params.temperature = 0.5f;  // squares: 1 16 .25 6.25 4, of 27.5
  expect_shares(kLogits, params,
                {{0, 1 / 27.5}, {1, 16 / 27.5}, {2, 0.25 / 27.5}, {3, 6.25 / 27.5}, {4, 4 / 27.5}});
}

TEST(Draw, TopKKeepsTheKLikeliest) {
  SamplingParams params;
  params.top_k = 2;
  expect_shares(kLogits, params, {{1, 0.40 / 0.65}, {3, 0.25 / 0.65}});
  params.top_k = 50;  // more than there are
  expect_shares(kLogits, params, {{0, 0.10}, {1, 0.40}, {2, 0.05}, {3, 0.25}, {4, 0.20}});
  params.top_k = 1;
  expect_shares({2, 5, 5}, params, {{1, 1.0}});  // of equals the lowest id
}

TEST(Draw, TopPKeepsUntilTheSharesReachP) {
  SamplingParams params;
  params.top_p = 0.6f;
  expect_shares(kLogits, params, {{1, 0.40 / 0.65}, {3, 0.25 / 0.65}});
  params.top_p = 0.66f;  // the one that crosses p stays
  expect_shares(kLogits, params, {{1, 0.40 / 0.85}, {3, 0.25 / 0.85}, {4, 0.20 / 0.85}});
  params.top_p = 1e-6f;  // never nothing
  expect_shares(kLogits, params, {{1, 1.0}});
}

TEST(Draw, MinPIsAShareOfTheLikeliest) {
  SamplingParams params;
  params.min_p = 0.3f;  // of 0.40: 0.12
  expect_shares(kLogits, params, {{1, 0.40 / 0.85}, {3, 0.25 / 0.85}, {4, 0.20 / 0.85}});
  params.min_p = 1.0f;
  expect_shares(kLogits, params, {{1, 1.0}});
}

TEST(Draw, FiltersApplyInTheOrderKThenPThenMinP) {
  SamplingParams params;
  params.top_k = 3;     // 0.40 0.25 0.20 of 0.85
  params.top_p = 0.7f;  // of what top_k left: 0.47 0.29 reach 0.76
  expect_shares(kLogits, params, {{1, 0.40 / 0.65}, {3, 0.25 / 0.65}});
  params.min_p = 0.65f;  // 0.25 / 0.40 is less
  expect_shares(kLogits, params, {{1, 1.0}});
}

TEST(Draw, ForbiddenTokensAreNeverDrawn) {
  const float never = -std::numeric_limits<float>::infinity();
  expect_shares({never, 0, never, 0, never}, {}, {{1, 0.5}, {3, 0.5}});
  EXPECT_EQ(draw({never, 0, never}, {}, 0.0), 1);
  EXPECT_EQ(draw({never, 0, never}, {}, std::nextafter(1.0, 0.0)), 1);
}

TEST(Greedy, TakesTheLikeliestAndOfEqualsTheLowestId) {
  EXPECT_EQ(greedy({1, 3, 2, 3}), 1);
  EXPECT_EQ(greedy({-5}), 0);
}

TEST(Uniform, IsInRangeSpreadAndItsOwnForEverySeedAndPosition) {
  std::set<double> seen;
  double sum = 0;
  for (uint64_t seed = 0; seed < 100; ++seed)
    for (uint64_t position = 0; position < 100; ++position) {
      const double u = uniform(seed, position);
      ASSERT_GE(u, 0);
      ASSERT_LT(u, 1);
      sum += u;
      seen.insert(u);
    }
  EXPECT_EQ(seen.size(), 10000u);
  EXPECT_NEAR(sum / 10000, 0.5, 0.015);  // five standard deviations
}

}  // namespace
}  // namespace attend::engine
