// Whatever the scheduler does (batches, chunks, preemption, shared prefixes), a request's greedy tokens
// are those of a dense loop that computes everything again for every token.
#include "strategies/engine/engine.h"

#include <gtest/gtest.h>

#include <random>

#include "attend/error.h"
#include "tests/engine/support/toy_model.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

using testing::thrown;
using testing::toy_greedy;
using testing::ToyModel;
using testing::ToyWeights;

constexpr uint32_t kSeed = 20261121;

std::unique_ptr<Engine> toy_engine(EngineConfig config, int64_t max_positions = 4096) {
  return std::make_unique<Engine>(std::move(config),
                                  std::make_unique<ToyModel>(kSeed, max_positions), nullptr);
}

SamplingParams greedy_for(int32_t max_tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = max_tokens;
  return params;
}

std::vector<int32_t> some_prompt(std::mt19937& random, size_t length) {
  std::vector<int32_t> prompt(length);
  for (int32_t& token : prompt) token = static_cast<int32_t>(random() % ToyWeights::kVocab);
  return prompt;
}

struct Shape {
  const char* what;
  int32_t page_size, num_pages;
  int64_t max_num_reqs, budget;
  bool prefix_caching = true, batch_invariant = false;
  int64_t chunk = 8;
};

class EveryShape : public ::testing::TestWithParam<Shape> {
 protected:
  EngineConfig config() const {
    const Shape& s = GetParam();
    EngineConfig config;
    config.page_size = s.page_size;
    config.num_pages = s.num_pages;
    config.max_num_reqs = s.max_num_reqs;
    config.max_num_batched_tokens = s.budget;
    config.prefix_caching = s.prefix_caching;
    config.batch_invariant = s.batch_invariant;
    config.chunk = s.chunk;
    return config;
  }
};

TEST_P(EveryShape, GreedyIsWhatADenseLoopYields) {
  const ToyWeights weights(kSeed);
  std::mt19937 random(1);
  std::vector<std::vector<int32_t>> prompts;
  const std::vector<int32_t> shared = some_prompt(random, 19);
  for (const size_t length : {1u, 2u, 7u, 16u, 17u, 33u, 5u, 40u}) {
    prompts.push_back(some_prompt(random, length));
    prompts.push_back(shared);  // and what follows a common beginning
    prompts.back().insert(prompts.back().end(), prompts[prompts.size() - 2].begin(),
                          prompts[prompts.size() - 2].end());
  }
  const auto engine = toy_engine(config());
  for (int round = 0; round < 2; ++round) {  // the second finds pages of the first
    const std::vector<Completion> got = engine->generate(prompts, greedy_for(14));
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(got[i].token_ids, toy_greedy(weights, prompts[i], 14)) << "prompt " << i;
      EXPECT_EQ(got[i].finish_reason, FinishReason::kLength);
      EXPECT_EQ(got[i].prompt_ids, prompts[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , EveryShape,
    ::testing::Values(Shape{"pages_of_16", 16, 64, 8, 64},
                      Shape{"pages_of_one_token", 1, 2000, 8, 64},
                      Shape{"one_at_a_time", 16, 8, 1, 2048}, Shape{"chunks_of_4", 16, 64, 4, 4},
                      Shape{"pages_of_3_and_a_small_pool", 3, 27, 8, 24},
                      Shape{"small_pool_without_sharing", 4, 20, 6, 16, false},
                      Shape{"batch_invariant", 4, 40, 8, 20, true, true, 8},
                      Shape{"batch_invariant_odd_chunk", 4, 40, 8, 20, true, true, 6}),
    [](const auto& shape) { return std::string(shape.param.what); });

// Of the shapes above: that the small pools do preempt and the second round does share.
TEST(EngineShapes, SmallPoolsPreemptAndRepeatedPromptsShare) {
  std::mt19937 random(2);
  EngineConfig config;
  config.page_size = 4;
  config.num_pages = 20;
  config.max_num_reqs = 6;
  config.max_num_batched_tokens = 24;
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 12; ++i) prompts.push_back(some_prompt(random, 20));
  const auto engine = toy_engine(config);
  engine->generate(prompts, greedy_for(20));
  EXPECT_GT(engine->stats().preemptions, 0);
  EXPECT_EQ(engine->stats().kv_pages_peak, 20);
  const std::vector<Completion> again = engine->generate({prompts[11], prompts[11]}, greedy_for(3));
  EXPECT_EQ(again[1].num_shared, 16);  // whole pages, short of the last token
}

TEST(EngineStop, IdsEndAResponseAndStayItsLast) {
  const ToyWeights weights(kSeed);
  const std::vector<int32_t> prompt{3, 1, 4, 1, 5};
  const std::vector<int32_t> whole = toy_greedy(weights, prompt, 30);
  const int32_t eos = whole[9];
  const std::vector<int32_t> until = toy_greedy(weights, prompt, 30, {eos});
  EngineConfig config;
  config.eos_token_ids = {{eos}};
  const auto engine = toy_engine(config);
  SamplingParams params = greedy_for(30);
  const Completion by_eos = engine->generate({prompt}, params)[0];
  EXPECT_EQ(by_eos.token_ids, until);
  EXPECT_EQ(by_eos.finish_reason, FinishReason::kEos);
  params.ignore_eos = true;
  EXPECT_EQ(engine->generate({prompt}, params)[0].token_ids, whole);
  params.stop_token_ids = {eos};  // asked for by name: counts all the same
  const Completion by_stop = engine->generate({prompt}, params)[0];
  EXPECT_EQ(by_stop.token_ids, until);
  EXPECT_EQ(by_stop.finish_reason, FinishReason::kStop);
}

TEST(EngineLimits, APromptThatCanNeverFitFailsAloneWithTheNumbers) {
  EngineConfig config;
  config.page_size = 4;
  config.num_pages = 5;
  const auto engine = toy_engine(config);
  const std::vector<Completion> got = engine->generate(
      {std::vector<int32_t>(20, 7), std::vector<int32_t>(19, 7), {}}, greedy_for(9));
  EXPECT_EQ(got[0].finish_reason, FinishReason::kError);
  EXPECT_NE(got[0].error.find("20 tokens, expected fewer than 20"), std::string::npos)
      << got[0].error;
  EXPECT_NE(got[0].error.find("5 pages of 4"), std::string::npos) << got[0].error;
  EXPECT_EQ(got[1].finish_reason, FinishReason::kLength);  // the pool's length
  EXPECT_EQ(got[1].token_ids.size(), 1u);
  EXPECT_EQ(got[2].finish_reason, FinishReason::kError);
  EXPECT_NE(got[2].error.find("prompt is empty"), std::string::npos) << got[2].error;
}

TEST(EngineLimits, TheModelsLengthEndsAResponse) {
  const auto engine = toy_engine({}, 12);
  const Completion got = engine->generate({{1, 2, 3}}, greedy_for(100))[0];
  EXPECT_EQ(got.finish_reason, FinishReason::kLength);
  EXPECT_EQ(got.token_ids.size(), 9u);
}

TEST(EngineErrors, BadInputIsRefusedInWordsAndNothingIsQueued) {
  const auto engine = toy_engine({});
  const auto refused = [&](auto&& call, const char* words) {
    const testing::Thrown e = thrown(call);
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_NE(e.what.find(words), std::string::npos) << e.what;
    EXPECT_FALSE(engine->has_work());
  };
  refused(
      [&] {
        engine->add({1, 61}, greedy_for(1));
      },
      "prompt[1] is 61, expected a token id from 0 to 60");
  refused([&] { engine->add({-1}, greedy_for(1)); }, "prompt[0] is -1");
  refused([&] { engine->add("text", greedy_for(1)); }, "no tokenizer.json");
  refused([&] { engine->add({1}, greedy_for(0)); }, "max_tokens is 0");
  SamplingParams params;
  params.top_p = 0;
  refused([&] { engine->add({1}, params); }, "top_p is 0");
  params = {};
  params.stop = {"end"};
  refused([&] { engine->add({1}, params); }, "stop_token_ids");
  refused([&] { engine->take(5); }, "request 5 is unknown");
  EXPECT_FALSE(engine->abort(5));
  EngineConfig config;
  config.strategy = "telepathy";
  const testing::Thrown e = thrown([&] { toy_engine(config); });
  EXPECT_NE(e.what.find("'telepathy', expected one of auto_regressive"), std::string::npos)
      << e.what;
}

TEST(EngineProgress, EveryTokenIsToldOnceInOrderAndAbortKeepsWhatWasThere) {
  const auto engine = toy_engine({});
  std::vector<int32_t> told;
  std::vector<FinishReason> reasons;
  const int64_t id = engine->add({5, 6}, greedy_for(50), [&](const Progress& p) {
    told.insert(told.end(), p.token_ids.begin(), p.token_ids.end());
    reasons.push_back(p.finish_reason);
  });
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(engine->step());
  EXPECT_TRUE(engine->abort(id));
  EXPECT_FALSE(engine->abort(id));
  EXPECT_FALSE(engine->step());
  const Completion got = engine->take(id);
  EXPECT_EQ(got.token_ids, told);
  EXPECT_EQ(told.size(), 5u);
  EXPECT_EQ(reasons.back(), FinishReason::kAborted);
  EXPECT_EQ(got.finish_reason, FinishReason::kAborted);
  EXPECT_EQ(thrown([&] { engine->take(id); }).code, ErrorCode::kInvalidArgument);
}

TEST(EngineStrategy, WhereNoneIsNamedTheCurrentOneServes) {
  EXPECT_EQ(toy_engine({})->config().strategy, "auto_regressive");
  set_current_strategy("ar");
  EXPECT_EQ(toy_engine({})->config().strategy, "ar");
  EngineConfig named;
  named.strategy = "autoregressive";
  EXPECT_EQ(toy_engine(named)->config().strategy, "autoregressive");
  clear_current_strategy();
  EXPECT_EQ(toy_engine({})->config().strategy, "auto_regressive");
}

TEST(EngineSampling, DrawsDependOnSeedAndPositionAlone) {
  SamplingParams params;
  params.temperature = 1.3f;
  params.top_k = 20;
  params.seed = 11;
  params.max_tokens = 25;
  params.logprobs = 2;
  const std::vector<int32_t> prompt{9, 8, 7};
  const Completion alone = toy_engine({})->generate({prompt}, params)[0];
  EngineConfig config;
  config.page_size = 4;
  config.num_pages = 22;
  config.max_num_batched_tokens = 64;
  const auto crowded = toy_engine(config);
  std::mt19937 random(3);
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 6; ++i) prompts.push_back(some_prompt(random, 9));
  prompts.push_back(prompt);
  const Completion among = crowded->generate(prompts, params).back();
  EXPECT_GT(crowded->stats().preemptions, 0);
  EXPECT_EQ(among.token_ids, alone.token_ids);
  ASSERT_EQ(alone.logprobs.size(), alone.token_ids.size());
  for (size_t i = 0; i < alone.logprobs.size(); ++i) {
    EXPECT_EQ(alone.logprobs[i].id, alone.token_ids[i]);
    ASSERT_EQ(alone.logprobs[i].top.size(), 2u);
    EXPECT_GE(alone.logprobs[i].top[0].second, alone.logprobs[i].top[1].second);
    EXPECT_LE(alone.logprobs[i].logprob, alone.logprobs[i].top[0].second);
  }
  params.seed = 12;
  EXPECT_NE(toy_engine({})->generate({prompt}, params)[0].token_ids, alone.token_ids);
}

}  // namespace
}  // namespace attend::engine
