// A whole engine on one checkpoint: time to first token and tokens per second, prompts and single
// tokens apart; where the time goes; how much of the memory's bandwidth decoding uses. Asked by flags
// it prints a line of JSON for each number of requests. With --answer it takes turns with others
// (bench/engine; engine_peer.py speaks the same): a JSON object a line on stdin, one answer a line.
//   {"cmd":"prep","model":folder,"dtype":"f32|bf16","threads":n,"prompts":[[id..]..],"tokens":n}
//       -> {"ok":true,"version":..,"responses":[[id..]..]}, or {"ok":false,"error":".."}; greedy,
//          n tokens to each prompt, whatever they are. attend adds "bytes_of_step" (below).
//   {"cmd":"time"} -> {"first_token":s,"prefill":part,"decode":part,"responses":..,"cpus":in use};
//          part: {"seconds":s,"steps":n}, attend's also "products" and "operators" in seconds
// Prefill is what yields the first token of every request: all prompts go in together (with
// --batch-invariant a chunk of each at a time). Decode is what follows: tokens - 1 steps of one row
// for each request. Nothing but these is accepted as a sample.
//
// What is checked: every sample says the same tokens; and requests beside others say what they say
// alone, every token of it where that is promised (f32, --batch-invariant). bf16 promises nothing,
// there the first tokens that agree are counted ("first_tokens_as_alone" of "alone").
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "attend/parallel.h"
#include "attend/registry.h"
#include "bench/support/machine.h"
#include "bench/support/peak.h"
#include "strategies/engine/engine.h"
#include "strategies/engine/models/config.h"

namespace attend::bench {
namespace {

using namespace attend::engine;
using nlohmann::json;
using Tokens = std::vector<std::vector<int32_t>>;  // of each request

// What a part of a run took.
struct Part {
  double seconds = 0, products = 0, operators = 0;
  int64_t rows = 0, steps = 0;

  json times() const {
    return {
        {"seconds", seconds}, {"products", products}, {"operators", operators}, {"steps", steps}};
  }
  json shares() const {
    return {{"seconds", seconds},
            {"tokens", rows},
            {"tokens_per_second", static_cast<double>(rows) / seconds},
            {"steps", steps},
            {"ms_per_step", 1e3 * seconds / static_cast<double>(steps)},
            {"share_products", products / seconds},
            {"share_operators", operators / seconds},
            {"share_rest", 1 - (products + operators) / seconds}};
  }
};

struct Run {
  Part prefill, decode;
  double first_token = 0;  // seconds, the mean over the requests
  double cpus = 0;         // in use
  Tokens responses;
};

// An engine that has room for these prompts and their responses at once.
class Served {
 public:
  Served(EngineConfig config, Tokens prompts, int32_t tokens)
      : prompts_(std::move(prompts)), tokens_(tokens) {
    if (prompts_.empty() || prompts_[0].empty() || tokens < 2)
      throw std::runtime_error("expected prompts of one length, not empty, and 2 tokens or more");
    const auto batch = static_cast<int64_t>(prompts_.size());
    config.prefix_caching = false;  // a second sample computes its prompts, too
    config.max_num_reqs = batch;
    config.max_model_len = length() + tokens + 1;
    config.kv_cache_bytes = int64_t{1} << 50;  // limited by max_num_reqs x max_model_len
    config.max_num_batched_tokens =
        std::max({config.max_num_batched_tokens, batch * length(), batch + config.chunk});
    engine_ = std::make_unique<Engine>(std::move(config));
  }

  const Engine& engine() const { return *engine_; }
  Run run() { return run(prompts_, tokens_); }

  // What requests say alone, first, middle and last: {how many, how many first tokens agree}.
  std::pair<int, int> compare_alone(const Tokens& responses) {
    if (prompts_.size() == 1) return {0, 0};
    const bool promised =
        *engine_->config().dtype == DType::kF32 || engine_->config().batch_invariant;
    std::pair<int, int> counted;
    for (const size_t i : std::set<size_t>{0, prompts_.size() / 2, prompts_.size() - 1}) {
      const auto alone = run({prompts_[i]}, promised ? tokens_ : 2).responses[0];
      if (promised && alone != responses[i])
        throw std::runtime_error("request " + std::to_string(i) + " of " +
                                 std::to_string(prompts_.size()) + " says other tokens than alone");
      ++counted.first;
      counted.second += alone[0] == responses[i][0];
    }
    return counted;
  }

  // What one decoding step must read on average: the weights that a row meets once, the keys and
  // values of every request, of which there are prompt + 1 in the first step and prompt + tokens - 1
  // in the last. Less than what is read where experts differ between rows.
  double bytes_of_step() const {
    const ModelConfig& m = engine_->model().config();
    int64_t with_keys = m.num_hidden_layers;
    for (const auto linear : m.linear_attention_layer) with_keys -= linear ? 1 : 0;
    const int64_t of_token =
        with_keys * m.num_key_value_heads * m.head_dim * 2 * size_bytes(*engine_->config().dtype);
    return static_cast<double>(engine_->model().weight_bytes()) +
           static_cast<double>(static_cast<int64_t>(prompts_.size()) * of_token) *
               (static_cast<double>(length()) + tokens_ / 2.0);
  }

 private:
  int64_t length() const { return static_cast<int64_t>(prompts_[0].size()); }
  Run run(const Tokens& prompts, int32_t tokens);

  Tokens prompts_;
  int32_t tokens_;
  std::unique_ptr<Engine> engine_;
};

Run Served::run(const Tokens& prompts, int32_t tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = tokens;
  const double cpu = process_cpu_seconds(), wall = wall_seconds();
  const auto batch = static_cast<int64_t>(prompts.size());
  std::vector<int64_t> ids;
  int64_t begun = 0;
  for (const auto& prompt : prompts) {
    ids.push_back(engine_->add(prompt, params, [&begun, is_first = true](const Progress&) mutable {
      begun += std::exchange(is_first, false);
    }));
  }
  Run run;
  for (bool more = true; more;) {
    Part& part = begun < batch ? run.prefill : run.decode;
    const EngineStats before = engine_->stats();
    more = engine_->step();
    const EngineStats after = engine_->stats();
    part.seconds += after.step_seconds - before.step_seconds;
    part.products += after.product_seconds - before.product_seconds;
    part.operators += after.operator_seconds - before.operator_seconds;
    part.rows += after.rows - before.rows;
    ++part.steps;
  }
  run.cpus = (process_cpu_seconds() - cpu) / (wall_seconds() - wall);
  for (const int64_t id : ids) {
    Completion done = engine_->take(id);
    if (done.token_ids.size() != static_cast<size_t>(tokens))
      throw std::runtime_error("a response has " + std::to_string(done.token_ids.size()) +
                               " tokens, expected " + std::to_string(tokens) + ": " + done.error);
    run.first_token += done.seconds_to_first_token / static_cast<double>(batch);
    run.responses.push_back(std::move(done.token_ids));
  }
  if (run.prefill.rows != batch * length() || run.decode.steps != tokens - 1 ||
      run.decode.rows != batch * (tokens - 1))
    throw std::runtime_error(
        "prompts and single tokens were not computed apart: " + std::to_string(run.prefill.rows) +
        " rows, then " + std::to_string(run.decode.rows) + " in " +
        std::to_string(run.decode.steps) + " steps");
  return run;
}

void expect_same(const Run& run, const Tokens& responses) {
  if (run.responses != responses)
    throw std::runtime_error("a sample says other tokens than the one before");
}

json measure(const EngineConfig& config, const Tokens& prompts, int32_t tokens, int samples) {
  Served served(config, prompts, tokens);
  const Tokens responses = served.run().responses;  // what is made on first use is not timed
  Run best;
  for (int i = 0; i < samples; ++i) {
    const Run run = served.run();
    expect_same(run, responses);
    if (i == 0 || run.prefill.seconds < best.prefill.seconds) {
      best.prefill = run.prefill;
      best.first_token = run.first_token;
    }
    if (i == 0 || run.decode.seconds < best.decode.seconds) best.decode = run.decode;
  }
  const auto [alone, agree] = served.compare_alone(responses);
  const double step = best.decode.seconds / static_cast<double>(best.decode.steps);
  const double read = peak(num_threads()).read;
  return {{"model", config.model},
          {"model_type", served.engine().model().config().model_type},
          {"dtype", name(*served.engine().config().dtype)},
          {"batch_invariant", config.batch_invariant},
          {"batch", prompts.size()},
          {"threads", num_threads()},
          {"prompt", prompts[0].size()},
          {"seconds_to_first_token", best.first_token},
          {"prefill", best.prefill.shares()},
          {"decode", best.decode.shares()},
          {"alone", alone},
          {"first_tokens_as_alone", agree},
          {"read_gbytes", read / 1e9},
          {"decode_share_of_read_bandwidth", served.bytes_of_step() / read / step}};
}

DType dtype_of(const std::string& word) {
  if (word != "f32" && word != "bf16")
    throw std::runtime_error("dtype is '" + word + "', expected f32 or bf16");
  return word == "f32" ? DType::kF32 : DType::kBF16;
}

class Answers {
 public:
  explicit Answers(EngineConfig config) : config_(std::move(config)) {}

  json answer(const json& words) {
    if (words.at("cmd") == "prep") return prep(words);
    if (words.at("cmd") == "time" && served_) return time();
    throw std::runtime_error("cmd is " + words.at("cmd").dump() + ", expected prep, then time");
  }

 private:
  json prep(const json& words) {
    served_.reset();  // its memory first
    set_num_threads(words.at("threads").get<int32_t>());
    config_.model = words.at("model").get<std::string>();
    config_.dtype = dtype_of(words.at("dtype").get<std::string>());
    served_ = std::make_unique<Served>(config_, words.at("prompts").get<Tokens>(),
                                       words.at("tokens").get<int32_t>());
    responses_ = served_->run().responses;
    const auto [alone, agree] = served_->compare_alone(responses_);
    return {{"ok", true},
            {"version", std::string("attend, ") + native_isa()},
            {"bytes_of_step", served_->bytes_of_step()},
            {"alone", alone},
            {"first_tokens_as_alone", agree},
            {"responses", responses_}};
  }

  json time() {
    const Run run = served_->run();
    expect_same(run, responses_);
    return {{"first_token", run.first_token},
            {"prefill", run.prefill.times()},
            {"decode", run.decode.times()},
            {"cpus", run.cpus},
            {"responses", run.responses}};
  }

  EngineConfig config_;
  std::unique_ptr<Served> served_;
  Tokens responses_;
};

void answer_all(const EngineConfig& config) {
  Answers answers(config);
  for (std::string line; std::getline(std::cin, line);) {
    json answer;
    try {
      answer = answers.answer(json::parse(line));
    } catch (const std::exception& e) {
      answer = {{"ok", false}, {"error", e.what()}};
    }
    std::cout << answer << std::endl;
  }
}

Tokens random_prompts(int64_t batch, int64_t length, int64_t vocab) {
  std::mt19937 random(1);
  Tokens all(static_cast<size_t>(batch));
  for (auto& prompt : all)
    for (int64_t i = 0; i < length; ++i)
      prompt.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
  return all;
}

int run(int argc, char** argv) {
  EngineConfig config;
  std::vector<int64_t> batches{1, 8, 32};
  std::string dtype;
  int32_t threads = 0, tokens = 64;
  int64_t prompt = 128;
  int samples = 3;
  bool answer = false;
  const CLI::Range positive(1, 1 << 24);
  CLI::App app(
      "engine_bench: an engine's time to first token and tokens per second, as lines of JSON");
  app.add_option("--model", config.model, "folder of the checkpoint");
  app.add_option("--batch", batches, "requests at once")->delimiter(',')->check(positive);
  app.add_option("--prompt", prompt, "tokens of each prompt")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--tokens", tokens, "of each response")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  app.add_option("--samples", samples, "the best counts")->check(positive)->capture_default_str();
  app.add_option("--dtype", dtype, "f32 or bf16; unset: the engine's choice");
  app.add_option("--strategy", config.strategy)->capture_default_str();
  app.add_option("--threads", threads);
  app.add_flag("--batch-invariant", config.batch_invariant);
  app.add_flag("--answer", answer, "take turns with others, as bench/engine asks");
  CLI11_PARSE(app, argc, argv);
  if (answer) {
    answer_all(config);
    return 0;
  }
  if (config.model.empty()) throw std::runtime_error("--model is missing, expected a folder");
  if (threads > 0) set_num_threads(threads);
  if (!dtype.empty()) config.dtype = dtype_of(dtype);
  const int64_t vocab = read_config(config.model).vocab_size;
  for (const int64_t batch : batches)
    std::cout << measure(config, random_prompts(batch, prompt, vocab), tokens, samples)
              << std::endl;
  return 0;
}

}  // namespace
}  // namespace attend::bench

int main(int argc, char** argv) {
  try {
    return attend::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "engine_bench: " << e.what() << '\n';
    return 1;
  }
}
