// A decoding strategy of one's own: parts that differ are types of one's own, the others are aliases. This
// one answers with another sampler: it never says the same token twice in a row.
#include <attend/error.h>

#include <cstdio>
#include <string>

#include "strategies/auto_regressive/strategy.h"
#include "strategies/engine/engine.h"

using namespace attend;
using namespace attend::engine;

namespace {

class NoEchoSampler : public Sampler {
 public:
  using Sampler::Sampler;

  std::vector<Sample> sample(const Batch& batch, const TensorView& logits) override {
    int64_t row = 0;  // of those that sample
    for (const ScheduledRequest& item : batch.items) {
      if (!item.samples) continue;
      auto* of_tokens = static_cast<float*>(logits.data) + row++ * logits.step(0);
      of_tokens[item.request->tokens.back()] = -1e30f;
    }
    return Sampler::sample(batch, logits);
  }
};

struct NoEcho : AutoRegressive {
  static constexpr std::string_view kName = "no_echo";
  using Sampler = NoEchoSampler;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: own_strategy MODEL_FOLDER PROMPT\n");
    return 2;
  }
  try {
    register_strategy<NoEcho>(strategies());
    EngineConfig config;
    config.model = argv[1];
    SamplingParams params;
    params.temperature = 0;
    params.max_tokens = 40;
    for (const char* strategy : {"auto_regressive", "no_echo"}) {
      config.strategy = strategy;
      Engine engine(config);
      const int64_t id = engine.add(argv[2], params);
      while (engine.step()) {
      }
      std::printf("%s: %s\n", strategy, engine.take(id).text.c_str());
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "own_strategy: %s\n", error.what());
    return 1;
  }
}
