#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attend/error.h"
#include "strategies/common/engine_config.h"
#include "strategies/engine/gdn_pool.h"
#include "strategies/engine/kv_pool.h"
#include "strategies/engine/models/model.h"
#include "strategies/engine/models/tokenizer.h"
#include "strategies/engine/registry.h"
#include "strategies/engine/text_output.h"

namespace attend::engine {

// What a request has come to.
struct Completion {
  int64_t id = 0;
  std::vector<int32_t> prompt_ids, token_ids;  // a stop id stays the last of token_ids
  std::string text;                            // without it; empty without a tokenizer
  FinishReason finish_reason = FinishReason::kNone;
  std::string error;  // with kError
  std::vector<TokenLogprob> logprobs;
  int64_t num_shared = 0, num_preemptions = 0;
  double seconds_to_first_token = 0, seconds = 0;
};

// Something new of one request, told once a step.
struct Progress {
  int64_t id = 0;
  std::span<const int32_t> token_ids;  // new ones
  std::string_view text;               // new text, complete characters
  FinishReason finish_reason = FinishReason::kNone;
};
using OnProgress = std::function<void(const Progress&)>;

struct EngineStats {
  int64_t steps = 0, rows = 0;
  int64_t prompt_tokens = 0, response_tokens = 0;  // of finished requests
  int64_t shared_tokens = 0, preemptions = 0;
  int64_t kv_pages = 0, kv_pages_peak = 0;  // in all, and most held at once
  // Of all steps: everything; of it the model; of it products and operators.
  double step_seconds = 0, model_seconds = 0, product_seconds = 0, operator_seconds = 0;
};

// Serves requests: continuous batching over one model, by one strategy. Not for several threads at
// once; engines on different threads do not disturb each other.
class Engine {
 public:
  // Loads config.model.
  //   errors   kInvalidArgument naming the field, the file or the tensor; kUnsupported for a device
  //            that models do not run on; kOutOfMemory
  explicit Engine(EngineConfig config);
  // The same with a model (and, for text, a tokenizer) of the caller's.
  Engine(EngineConfig config, std::unique_ptr<Model> model, std::unique_ptr<Tokenizer> tokenizer);
  ~Engine();

  // Queues a prompt and returns its id. What becomes of it is told to `on_progress`, from within
  // step(), abort() or, of a prompt that can never fit, add() itself. A listener may call add(),
  // abort() and take(); what it throws reaches the caller when all others have been told.
  //   errors   kInvalidArgument: params; an id outside the vocabulary; text or stop strings without a
  //            tokenizer
  int64_t add(std::vector<int32_t> prompt, const SamplingParams& params,
              OnProgress on_progress = {});
  int64_t add(std::string_view prompt, const SamplingParams& params, OnProgress on_progress = {});

  // One forward of the model over whatever the scheduler picks. False when nothing is left to do.
  //   errors   the model's and the operators': the requests that ran wait to be run again, and none
  //            of their tokens is lost
  bool step();
  // Ends a request; its tokens so far stay. False if it is not known or has ended.
  bool abort(int64_t id);
  // Takes a finished request out of the engine.
  //   errors   kInvalidArgument if there is no such request or it has not finished
  Completion take(int64_t id);

  // Adds all prompts, steps until they are done, returns them in their order.
  std::vector<Completion> generate(const std::vector<std::vector<int32_t>>& prompts,
                                   const SamplingParams& params);

  bool has_work() const;
  int32_t free_pages() const noexcept { return pages_->free_pages(); }
  EngineStats stats() const;
  const EngineConfig& config() const noexcept { return config_; }
  const Model& model() const noexcept { return *model_; }
  const Tokenizer* tokenizer() const noexcept { return tokenizer_.get(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::unique_ptr<Request> request;
    std::unique_ptr<TextOutput> text;
    std::shared_ptr<const OnProgress> on_progress;
    int64_t num_told = 0;   // tokens of the response
    bool end_told = false;  // and that it has finished
    Clock::time_point added, first_token, ended;
  };

  void set_up();
  std::vector<int64_t> run_batch();
  void tell_all(const std::vector<int64_t>& ids);
  void tell(Entry& entry);

  EngineConfig config_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<KvPool> kv_pool_;
  std::unique_ptr<GdnPool> gdn_pool_;
  std::unique_ptr<AttentionBackend> backend_;
  std::unique_ptr<KvCacheManager> pages_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ModelRunner> runner_;
  std::unique_ptr<Sampler> sampler_;
  std::map<int64_t, Entry> entries_;
  EngineStats stats_;
  int64_t next_id_ = 0;
};

}  // namespace attend::engine
