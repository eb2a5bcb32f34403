// What goes wrong in the middle of a step, and listeners that meddle with the engine: nothing is lost and
// nothing is told twice.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <new>
#include <random>

#include "attend/error.h"
#include "strategies/auto_regressive/strategy.h"
#include "strategies/engine/engine.h"
#include "tests/engine/support/toy_model.h"
#include "tests/support/thrown.h"

namespace attend::engine {
namespace {

using testing::thrown;
using testing::toy_greedy;
using testing::ToyModel;
using testing::ToyWeights;

constexpr uint32_t kSeed = 7;

// Throws in every third step, when keys of half the layers, or all of them, have been stored.
class FailingModel final : public Model {
 public:
  const ModelConfig& config() const noexcept override { return toy_.config(); }
  uint64_t weight_bytes() const noexcept override { return 0; }
  void forward(const ModelInput& input, AttentionBackend& backend,
               const TensorView& logits) override {
    if (++calls_ % 3 == 0) {
      if (calls_ % 2 == 0) throw std::bad_alloc();
      toy_.forward(input, backend, logits);
      throw Error(ErrorCode::kDeviceError, "toy: a step is lost, expected none");
    }
    toy_.forward(input, backend, logits);
  }

 private:
  ToyModel toy_{kSeed};
  int calls_ = 0;
};

// Keeps a sum of a sequence's tokens in its state slot, as gated delta layers keep theirs, and throws in
// every third step when it has been brought up to date.
class FailingStatefulModel final : public Model {
 public:
  static constexpr int32_t kVocab = 31;
  static int32_t next(std::span<const int32_t> tokens) {
    int32_t sum = 0;
    for (const int32_t token : tokens) sum = (sum * 3 + token + 1) % kVocab;
    return sum;
  }

  FailingStatefulModel() {
    config_.vocab_size = kVocab;
    config_.num_hidden_layers = 1;
    config_.num_attention_heads = config_.num_key_value_heads = config_.head_dim = 1;
    config_.max_position_embeddings = 4096;
    config_.linear_attention_layer = {true};
    config_.linear_attention = {1, 1, 1, 1, 2};
  }
  const ModelConfig& config() const noexcept override { return config_; }
  uint64_t weight_bytes() const noexcept override { return 0; }
  void forward(const ModelInput& input, AttentionBackend&, const TensorView& logits) override {
    const AttnMetadata& batch = fetch_attn_metadata();
    const auto at = [](const TensorView& t, int64_t i) {
      return static_cast<const int32_t*>(t.data)[i];
    };
    std::vector<int32_t> sums(input.ids.size());
    for (int64_t r = 0; r + 1 < batch.cu_seqlens_q.dim(0); ++r) {
      const int32_t slot = at(batch.state_slots, r);
      ASSERT_GT(slot, 0);
      if (at(batch.context_lens, r) == 0) state_[slot] = 0;
      for (int32_t row = at(batch.cu_seqlens_q, r); row < at(batch.cu_seqlens_q, r + 1); ++row) {
        const auto i = static_cast<size_t>(row);
        sums[i] = state_[slot] = (state_[slot] * 3 + input.ids[i] + 1) % kVocab;
      }
    }
    if (++calls_ % 3 == 0) throw std::bad_alloc();
    for (size_t i = 0; i < input.logits_rows.size(); ++i) {
      auto* row = static_cast<float*>(logits.data) + static_cast<int64_t>(i) * logits.step(0);
      std::fill(row, row + kVocab, 0.0f);
      row[sums[static_cast<size_t>(input.logits_rows[i])]] = 1.0f;
    }
  }

 private:
  ModelConfig config_;
  std::map<int32_t, int32_t> state_;
  int calls_ = 0;
};

// Throws now and then when some requests have been given their tokens and others have not.
class FailingScheduler : public Scheduler {
 public:
  using Scheduler::Scheduler;

 protected:
  void append(Request& request, const Sample& sample) override {
    Scheduler::append(request, sample);
    if (++calls_ % 13 == 0) throw std::bad_alloc();
  }

 private:
  int calls_ = 0;
};

struct Failing : AutoRegressive {
  static constexpr std::string_view kName = "failing";
  using Scheduler = FailingScheduler;
};

SamplingParams greedy_for(int32_t max_tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.max_tokens = max_tokens;
  return params;
}

EngineConfig small_pool() {
  EngineConfig config;
  config.page_size = 3;
  config.num_pages = 27;
  config.max_num_reqs = 6;
  config.max_num_batched_tokens = 20;
  return config;
}

std::vector<std::vector<int32_t>> some_prompts() {
  std::mt19937 random(3);
  std::vector<std::vector<int32_t>> prompts;
  for (const size_t length : {5u, 18u, 1u, 30u, 9u, 3u, 22u}) {
    prompts.emplace_back(length);
    for (int32_t& token : prompts.back())
      token = static_cast<int32_t>(random() % ToyWeights::kVocab);
  }
  return prompts;
}

// Steps until all is done, past whatever is thrown; how often that was.
int step_through(Engine& engine) {
  int failures = 0;
  bool more = true;
  for (int steps = 0; more && steps < 10000; ++steps) try {
      more = engine.step();
    } catch (const std::exception&) {
      ++failures;
    }
  EXPECT_FALSE(more) << "goes on for ever";
  return failures;
}

void expect_greedy(EngineConfig config, std::unique_ptr<Model> model) {
  const ToyWeights weights(kSeed);
  Engine engine(std::move(config), std::move(model), nullptr);
  const auto prompts = some_prompts();
  std::map<int64_t, std::vector<int32_t>> told;
  std::vector<int64_t> ids;
  for (const auto& prompt : prompts)
    ids.push_back(engine.add(prompt, greedy_for(12), [&told](const Progress& p) {
      told[p.id].insert(told[p.id].end(), p.token_ids.begin(), p.token_ids.end());
    }));
  EXPECT_GT(step_through(engine), 3);
  for (size_t i = 0; i < ids.size(); ++i) {
    const Completion got = engine.take(ids[i]);
    EXPECT_EQ(got.token_ids, toy_greedy(weights, prompts[i], 12)) << i;
    EXPECT_EQ(got.finish_reason, FinishReason::kLength);
    EXPECT_EQ(told[ids[i]], got.token_ids) << "told in order, none twice";
  }
  EXPECT_EQ(engine.free_pages(), 27);
}

TEST(EngineFailures, AStepThatThrowsInTheModelIsRunAgain) {
  expect_greedy(small_pool(), std::make_unique<FailingModel>());
}

TEST(EngineFailures, AStepThatThrowsAmongItsSamplesIsRunAgain) {
  register_strategy<Failing>(strategies(), {}, true);
  EngineConfig config = small_pool();
  config.strategy = "failing";
  expect_greedy(config, std::make_unique<ToyModel>(kSeed));
}

TEST(EngineFailures, StatesThatAreHalfAStepAheadAreComputedAgain) {
  EngineConfig config = small_pool();
  config.max_num_batched_tokens = 9;
  config.max_num_reqs = 4;
  Engine engine(config, std::make_unique<FailingStatefulModel>(), nullptr);
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t length : {2, 6, 4, 1, 5}) prompts.emplace_back(static_cast<size_t>(length), length);
  for (const auto& prompt : prompts) engine.add(prompt, greedy_for(2));
  EXPECT_GT(step_through(engine), 1);
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int32_t> tokens = prompts[i], want;
    for (int n = 0; n < 2; ++n) {
      want.push_back(FailingStatefulModel::next(tokens));
      tokens.push_back(want.back());
    }
    EXPECT_EQ(engine.take(static_cast<int64_t>(i)).token_ids, want) << i;
  }
}

TEST(EngineFailures, GenerateLeavesNothingBehindWhenItThrows) {
  Engine engine(small_pool(), std::make_unique<ToyModel>(kSeed), nullptr);
  EXPECT_THROW(engine.generate({{1, 2, 3}, {-1}}, greedy_for(3)), Error);
  EXPECT_FALSE(engine.has_work());
  EXPECT_THROW(engine.take(0), Error);
  Engine failing(small_pool(), std::make_unique<FailingModel>(), nullptr);
  EXPECT_THROW(failing.generate({{1, 2, 3}, {4}}, greedy_for(9)), Error);
  EXPECT_FALSE(failing.has_work());
  EXPECT_EQ(failing.free_pages(), 27);
}

// Of each request, what was told at its end.
struct Ends {
  std::map<int64_t, std::vector<FinishReason>> of;
  void note(const Progress& p) {
    if (p.finish_reason != FinishReason::kNone) of[p.id].push_back(p.finish_reason);
  }
};

TEST(EngineListeners, OneThatAbortsItselfOrAnotherOfTheSameStep) {
  for (const int64_t victim : {0, 1, 2}) {
    SCOPED_TRACE(victim);
    Engine engine(small_pool(), std::make_unique<ToyModel>(kSeed), nullptr);
    Ends ends;
    for (int64_t id = 0; id < 3; ++id)
      engine.add({5, 6}, greedy_for(4), [&, id](const Progress& p) {
        ends.note(p);
        if (id == 1 && p.finish_reason == FinishReason::kNone) engine.abort(victim);
      });
    step_through(engine);
    for (int64_t id = 0; id < 3; ++id) {
      const auto want = id == victim ? FinishReason::kAborted : FinishReason::kLength;
      EXPECT_EQ(ends.of[id], std::vector{want}) << id;
      EXPECT_EQ(engine.take(id).finish_reason, want) << id;
    }
    EXPECT_EQ(engine.stats().response_tokens, 9);
    EXPECT_EQ(engine.free_pages(), 27);
  }
}

TEST(EngineListeners, OneThatTakesItsOwnAndTheOthersOfTheSameStep) {
  Engine engine(small_pool(), std::make_unique<ToyModel>(kSeed), nullptr);
  const std::vector<int32_t> want = toy_greedy(ToyWeights(kSeed), {5, 6}, 4);
  Ends ends;
  std::vector<Completion> taken;
  for (int64_t i = 0; i < 3; ++i)
    engine.add({5, 6}, greedy_for(4), [&, i, padding = std::string(100, 'x')](const Progress& p) {
      ends.note(p);
      if (i != 1 || p.finish_reason == FinishReason::kNone) return;
      for (int64_t id = 0; id < 3; ++id) taken.push_back(engine.take(id));
      EXPECT_EQ(std::vector(p.token_ids.begin(), p.token_ids.end()), std::vector{want.back()});
      EXPECT_EQ(padding, std::string(100, 'x'));  // is there while it runs
    });
  step_through(engine);
  ASSERT_EQ(taken.size(), 3u);
  for (const Completion& c : taken) {
    EXPECT_EQ(c.token_ids, want);
    EXPECT_EQ(ends.of[c.id], std::vector{FinishReason::kLength});
    EXPECT_GT(c.seconds, 0);
  }
}

TEST(EngineListeners, OneThatAddsWhileOthersRun) {
  Engine engine(small_pool(), std::make_unique<ToyModel>(kSeed), nullptr);
  const ToyWeights weights(kSeed);
  std::vector<std::vector<int32_t>> responses;
  const std::function<void(const Progress&)> again = [&](const Progress& p) {
    if (p.finish_reason == FinishReason::kNone) return;
    const Completion c = engine.take(p.id);
    responses.push_back(c.token_ids);
    if (responses.size() < 20) engine.add(c.token_ids, greedy_for(3), again);
  };
  engine.add({5, 6}, greedy_for(3), again);
  EXPECT_EQ(step_through(engine), 0);
  ASSERT_EQ(responses.size(), 20u);
  std::vector<int32_t> prompt{5, 6};
  for (const auto& response : responses) {
    EXPECT_EQ(response, toy_greedy(weights, prompt, 3));
    prompt = response;
  }
}

}  // namespace
}  // namespace attend::engine
