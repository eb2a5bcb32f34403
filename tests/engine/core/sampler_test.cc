#include "strategies/common/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace attend::engine {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What is drawn of these logits behind tokens {0, 2}, of which 0 is the prompt.
Sample sample(std::vector<float> logits, const SamplingParams& params) {
  Request request({}, 5, {0}, params);
  request.tokens.push_back(2);
  const TensorView view =
      contiguous(logits.data(), DType::kF32, {1, static_cast<int64_t>(logits.size())});
  std::vector<Sample> samples = Sampler({}).sample({{{&request, 1, 1, true}}}, view);
  EXPECT_EQ(samples.size(), 1u);
  return samples.front();
}

SamplingParams greedy_with_penalty(float penalty) {
  SamplingParams params;
  params.temperature = 0;
  params.repetition_penalty = penalty;
  return params;
}

TEST(Sampler, ThePenaltyMakesPromptAndResponseLessLikelyWhateverTheirSign) {
  EXPECT_EQ(sample({4, 3, 3.5f, 1}, greedy_with_penalty(1)).token.id, 0);
  EXPECT_EQ(sample({4, 3, 3.5f, 1}, greedy_with_penalty(1.2f)).token.id, 0);  // 3.33, 2.92
  EXPECT_EQ(sample({4, 3, 3.5f, 1}, greedy_with_penalty(1.5f)).token.id, 1);
  EXPECT_EQ(sample({-4, -6, -4.5f, -9}, greedy_with_penalty(1.6f)).token.id, 1);  // -6.4, -7.2
  EXPECT_EQ(sample({3, 4, 3.5f, 1}, greedy_with_penalty(0.5f)).token.id, 2);  // below 1: liked more
}

TEST(Sampler, APenaltyThatOverflowsIsTheLargestThereIs) {
  SamplingParams params = greedy_with_penalty(1e-38f);
  for (const float temperature : {0.0f, 1.0f}) {
    params.temperature = temperature;
    EXPECT_EQ(sample({5, 4, -1, 3}, params).token.id, 0) << temperature;
  }
  params.repetition_penalty = 9e29f;  // to 0 and to the lowest there is
  EXPECT_EQ(sample({5, -4, -1e30f, -3}, params).token.id, 0);
}

TEST(Sampler, LogprobsAreOfTheLogitsAsTheModelHasThem) {
  SamplingParams params = greedy_with_penalty(1.5f);
  params.logprobs = 9;
  const Sample got = sample({4, 3, 3.5f}, params);
  const double total = std::log(std::exp(4.0) + std::exp(3.0) + std::exp(3.5));
  EXPECT_EQ(got.token.id, 1);
  EXPECT_NEAR(got.token.logprob, 3 - total, 1e-6);
  ASSERT_EQ(got.token.top.size(), 3u);  // there are no more
  EXPECT_EQ(got.token.top[0].first, 0);
  EXPECT_EQ(got.token.top[1].first, 2);
  EXPECT_NEAR(got.token.top[1].second, 3.5 - total, 1e-6);
}

TEST(Sampler, LogitsThatAreNoNumbersAreAnErrorOfTheRequest) {
  EXPECT_EQ(sample({1, NAN, 2}, {}).error,
            "request 5: logits of token 2 hold NaN, expected finite numbers");
  EXPECT_EQ(sample({1, kInfinity, 2}, {}).error,
            "request 5: logits of token 2 are infinite, expected finite numbers");
  EXPECT_EQ(sample({-kInfinity, -kInfinity}, {}).error,
            "request 5: logits of token 2 are infinite, expected finite numbers");
  EXPECT_EQ(sample({-kInfinity, 1}, {}).token.id, 1);
}

}  // namespace
}  // namespace attend::engine
