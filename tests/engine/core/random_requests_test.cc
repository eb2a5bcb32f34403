// Ten thousand random requests on a pool that is far too small for them: each ends, each as its kind of
// end says, no page and no request is lost, and what they say is what they say alone.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "attend/error.h"
#include "strategies/engine/engine.h"
#include "tests/engine/support/toy_model.h"

namespace attend::engine {
namespace {

using testing::ToyModel;
using testing::ToyWeights;

// The next token from the last three alone, so that ten thousand responses are cheap to predict; the
// keys still go through the pages, and a wrong one changes the logits.
class LastThree final : public Model {
 public:
  LastThree() {
    config_.model_type = "last_three";
    config_.vocab_size = kVocab;
    config_.num_hidden_layers = 1;
    config_.num_attention_heads = config_.num_key_value_heads = 1;
    config_.head_dim = 4;
    config_.max_position_embeddings = 4096;
  }
  static constexpr int64_t kVocab = 23;

  static int32_t next(std::span<const int32_t> tokens) {
    int64_t sum = 5;
    for (size_t back = 1; back <= 3 && back <= tokens.size(); ++back)
      sum = sum * 7 + tokens[tokens.size() - back];
    return static_cast<int32_t>(sum % kVocab);
  }

  const ModelConfig& config() const noexcept override { return config_; }
  uint64_t weight_bytes() const noexcept override { return 0; }

  // A key says where it stands, a value which token it is; a row asks for the one just before, then
  // two before, with scores so steep that the softmax is a choice.
  void forward(const ModelInput& input, AttentionBackend& backend,
               const TensorView& logits) override {
    const auto rows = static_cast<int64_t>(input.ids.size());
    std::vector<float> q(input.ids.size() * 4), k(q), v(q), out(q);
    std::vector<std::vector<int32_t>> seen(input.ids.size());
    for (int back = 0; back < 3; ++back) {
      for (size_t r = 0; r < input.ids.size(); ++r) {
        const double angle = 0.001 * input.positions[r], ask = 0.001 * (input.positions[r] - back);
        k[4 * r] = static_cast<float>(std::cos(angle));
        k[4 * r + 1] = static_cast<float>(std::sin(angle));
        v[4 * r] = static_cast<float>(input.ids[r]);
        q[4 * r] = static_cast<float>(1e8 * std::cos(ask));
        q[4 * r + 1] = static_cast<float>(1e8 * std::sin(ask));
      }
      const auto view = [&](std::vector<float>& t) {
        return contiguous(t.data(), DType::kF32, {rows, 1, 4});
      };
      AttentionLayer layer;
      layer.head_dim = 4;
      backend.forward(layer, view(q), view(k), view(v), view(out));
      for (size_t r = 0; r < input.ids.size(); ++r)
        if (input.positions[r] >= back)
          seen[r].insert(seen[r].begin(), static_cast<int32_t>(std::lround(out[4 * r])));
    }
    for (size_t i = 0; i < input.logits_rows.size(); ++i) {
      auto* row = static_cast<float*>(logits.data) + static_cast<int64_t>(i) * logits.step(0);
      std::fill(row, row + kVocab, 0.0f);
      row[next(seen[static_cast<size_t>(input.logits_rows[i])])] = 1.0f;
    }
  }

 private:
  ModelConfig config_;
};

void serve(uint32_t seed, int requests, bool prefix_caching, bool batch_invariant) {
  constexpr int32_t kEos = 0;
  std::mt19937 random(seed);
  const auto below = [&](uint32_t n) { return random() % n; };
  EngineConfig config;
  config.page_size = static_cast<int32_t>(1 + below(5));
  config.num_pages = 120 / config.page_size;
  config.max_num_reqs = 12;
  config.max_num_batched_tokens = 30;
  config.prefix_caching = prefix_caching;
  config.batch_invariant = batch_invariant;
  config.chunk = 6;
  config.eos_token_ids = {{kEos}};
  Engine engine(config, std::make_unique<LastThree>(), nullptr);

  struct Asked {
    std::vector<int32_t> prompt;
    SamplingParams params;
    bool aborted = false;
  };
  std::map<int64_t, Asked> asked;
  std::vector<std::vector<int32_t>> beginnings(4);
  for (auto& b : beginnings)
    for (uint32_t i = 0; i < 24; ++i) b.push_back(static_cast<int32_t>(below(LastThree::kVocab)));
  int added = 0, ended = 0;
  while (ended < requests) {
    for (uint32_t n = below(3); n > 0 && added < requests && asked.size() < 40; --n, ++added) {
      Asked a;
      if (below(2) == 0) {
        const auto& b = beginnings[below(4)];
        a.prompt.assign(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(below(25)));
      }
      for (uint32_t i = below(30) + (below(50) == 0 ? 120 : 0); i > 0; --i)
        a.prompt.push_back(static_cast<int32_t>(below(LastThree::kVocab)));
      a.params.temperature = 0;
      a.params.max_tokens = static_cast<int32_t>(1 + below(25));
      a.params.ignore_eos = below(2) == 0;
      if (below(3) == 0) a.params.stop_token_ids = {static_cast<int32_t>(below(LastThree::kVocab))};
      const int64_t id = engine.add(a.prompt, a.params);
      asked.emplace(id, std::move(a));
    }
    if (below(20) == 0 && !asked.empty()) {
      auto at = asked.begin();
      std::advance(at, below(static_cast<uint32_t>(asked.size())));
      at->second.aborted |= engine.abort(at->first);
    }
    engine.step();
    for (auto at = asked.begin(); at != asked.end();) {
      Completion got;
      try {
        got = engine.take(at->first);
      } catch (const Error&) {  // still runs
        ++at;
        continue;
      }
      const Asked& a = at->second;
      std::vector<int32_t> tokens = a.prompt;
      const int64_t pool = int64_t{config.num_pages} * config.page_size;
      if (a.prompt.empty() || static_cast<int64_t>(a.prompt.size()) >= pool) {
        ASSERT_EQ(got.finish_reason, FinishReason::kError);
        ASSERT_TRUE(got.token_ids.empty());
      } else {
        FinishReason why = FinishReason::kNone;
        for (size_t i = 0; i < got.token_ids.size(); ++i) {
          ASSERT_EQ(why, FinishReason::kNone) << "goes on after its end";
          const int32_t next = LastThree::next(tokens);
          ASSERT_EQ(got.token_ids[i], next) << "request " << at->first << " token " << i;
          tokens.push_back(next);
          const auto& stop = a.params.stop_token_ids;
          if (!stop.empty() && next == stop[0])
            why = FinishReason::kStop;
          else if (!a.params.ignore_eos && next == kEos)
            why = FinishReason::kEos;
          else if (static_cast<int32_t>(i) + 1 == a.params.max_tokens ||
                   static_cast<int64_t>(tokens.size()) >= pool)
            why = FinishReason::kLength;
        }
        ASSERT_EQ(got.finish_reason, a.aborted ? FinishReason::kAborted : why);
      }
      at = asked.erase(at);
      ++ended;
    }
  }
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(engine.free_pages(), config.num_pages) << "pages leaked";
  EXPECT_GT(engine.stats().preemptions, 0);
  EXPECT_EQ(engine.stats().shared_tokens > 0, prefix_caching);
}

TEST(RandomRequests, AllEndAsTheyShouldAndNothingIsLost) {
  for (uint32_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    serve(seed, 1250, seed % 4 != 3, seed % 3 == 2);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace attend::engine
