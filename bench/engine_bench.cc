// A whole engine on one checkpoint: time to first token and tokens per second, prompts and single tokens apart,
// for several numbers of requests at once; where the time goes; and how much of the memory's bandwidth decoding
// uses. A line of JSON for each number. Every response is checked: the same prompts alone, one by one, must say
// the same (f32), or their first token must (bf16, whose products may see other rows beside them).
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "attend/parallel.h"
#include "bench/support/machine.h"
#include "bench/support/peak.h"
#include "strategies/engine/engine.h"

namespace attend::bench {
namespace {

using namespace attend::engine;
using Clock = std::chrono::steady_clock;

struct Asked {
  EngineConfig config;
  int64_t prompt = 128;
  int32_t tokens = 64;
  int samples = 3;
};

// What a part of a run took.
struct Part {
  double seconds = 0, products = 0, operators = 0;
  int64_t tokens = 0, steps = 0;

  nlohmann::json json() const {
    return {{"seconds", seconds},
            {"tokens", tokens},
            {"tokens_per_second", static_cast<double>(tokens) / seconds},
            {"steps", steps},
            {"ms_per_step", 1e3 * seconds / static_cast<double>(steps)},
            {"share_products", products / seconds},
            {"share_operators", operators / seconds},
            {"share_rest", 1 - (products + operators) / seconds}};
  }
};

struct Run {
  Part prefill, decode;
  double first_token = 0;  // mean over the requests
  std::vector<std::vector<int32_t>> responses;
};

std::vector<std::vector<int32_t>> prompts(int64_t batch, int64_t length, int64_t vocab,
                                          uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<int32_t>> all(static_cast<size_t>(batch));
  for (auto& prompt : all)
    for (int64_t i = 0; i < length; ++i)
      prompt.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
  return all;
}

Run serve(Engine& engine, const std::vector<std::vector<int32_t>>& all, int32_t tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = tokens;
  std::vector<int64_t> ids;
  int64_t begun = 0;
  for (const auto& prompt : all) {
    auto is_first = std::make_shared<bool>(true);
    ids.push_back(engine.add(prompt, params, [&begun, is_first](const Progress&) {
      begun += std::exchange(*is_first, false);
    }));
  }
  Run run;
  for (bool more = true; more;) {
    const bool was_prefill = begun < static_cast<int64_t>(all.size());
    const EngineStats before = engine.stats();
    more = engine.step();
    const EngineStats after = engine.stats();
    Part& part = was_prefill ? run.prefill : run.decode;
    part.seconds += after.step_seconds - before.step_seconds;
    part.products += after.product_seconds - before.product_seconds;
    part.operators += after.operator_seconds - before.operator_seconds;
    part.tokens += after.rows - before.rows;
    ++part.steps;
  }
  for (const int64_t id : ids) {
    const Completion done = engine.take(id);
    run.first_token += done.seconds_to_first_token / static_cast<double>(ids.size());
    run.responses.push_back(done.token_ids);
  }
  return run;
}

// What one decoding step must read: the weights once, the keys of every request.
double bytes_of_step(const Engine& engine, int64_t batch, double length) {
  const ModelConfig& m = engine.model().config();
  const int64_t of_token = m.num_hidden_layers * m.num_key_value_heads * m.head_dim * 2 *
                           size_bytes(*engine.config().dtype);
  return static_cast<double>(engine.model().weight_bytes()) +
         static_cast<double>(batch * of_token) * length;
}

nlohmann::json measure(const Asked& asked, int64_t batch) {
  EngineConfig config = asked.config;
  config.prefix_caching = false;  // a second sample computes its prompts, too
  config.max_num_reqs = batch;
  config.max_model_len = asked.prompt + asked.tokens + 1;
  config.max_num_batched_tokens = std::max(config.max_num_batched_tokens, batch);
  Engine engine(config);
  const auto all = prompts(batch, asked.prompt, engine.model().config().vocab_size, 1);
  serve(engine, all, 2);  // what is made on first use
  Run best = serve(engine, all, asked.tokens);
  for (int i = 1; i < asked.samples; ++i) {
    Run run = serve(engine, all, asked.tokens);
    if (run.prefill.seconds < best.prefill.seconds) {
      best.prefill = run.prefill;
      best.first_token = run.first_token;
    }
    if (run.decode.seconds < best.decode.seconds) best.decode = run.decode;
  }
  const size_t checked =
      *engine.config().dtype == DType::kF32 ? static_cast<size_t>(asked.tokens) : 1;
  for (size_t i = 0; i < std::min<size_t>(all.size(), 2); ++i) {
    const auto alone = serve(engine, {all[i]}, static_cast<int32_t>(checked)).responses[0];
    if (!std::equal(alone.begin(), alone.end(), best.responses[i].begin()))
      throw std::runtime_error("request " + std::to_string(i) + " of " + std::to_string(batch) +
                               " says other tokens than alone");
  }
  const double length = static_cast<double>(asked.prompt) + asked.tokens / 2.0;
  const double step = best.decode.seconds / static_cast<double>(best.decode.steps);
  const double bound = bytes_of_step(engine, batch, length) / peak(num_threads()).read;
  return {{"model", asked.config.model},
          {"model_type", engine.model().config().model_type},
          {"dtype", name(*engine.config().dtype)},
          {"batch_invariant", config.batch_invariant},
          {"batch", batch},
          {"threads", num_threads()},
          {"prompt", asked.prompt},
          {"seconds_to_first_token", best.first_token},
          {"prefill", best.prefill.json()},
          {"decode", best.decode.json()},
          {"read_gbytes", peak(num_threads()).read / 1e9},
          {"decode_share_of_read_bandwidth", bound / step}};
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  using namespace attend;
  bench::Asked asked;
  std::vector<int64_t> batches{1, 8, 32};
  std::string dtype;
  int32_t threads = 0;
  CLI::App app(
      "engine_bench: an engine's time to first token and tokens per second, as lines of JSON");
  app.add_option("--model", asked.config.model, "folder of the checkpoint")->required();
  app.add_option("--batch", batches, "requests at once")->delimiter(',');
  app.add_option("--prompt", asked.prompt, "tokens of each prompt")->capture_default_str();
  app.add_option("--tokens", asked.tokens, "of each response")->capture_default_str();
  app.add_option("--samples", asked.samples, "the best counts")->capture_default_str();
  app.add_option("--dtype", dtype, "f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--strategy", asked.config.strategy)->capture_default_str();
  app.add_option("--threads", threads);
  app.add_flag("--batch-invariant", asked.config.batch_invariant);
  CLI11_PARSE(app, argc, argv);
  try {
    if (threads > 0) set_num_threads(threads);
    if (!dtype.empty()) asked.config.dtype = dtype == "f32" ? DType::kF32 : DType::kBF16;
    for (const int64_t batch : batches) std::cout << bench::measure(asked, batch) << std::endl;
  } catch (const std::exception& e) {
    std::cerr << "engine_bench: " << e.what() << '\n';
    return 1;
  }
}
