#include "strategies/engine/engine.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "attend/error.h"
#include "strategies/engine/hybrid_backend.h"
#include "strategies/engine/math/step_times.h"
#include "strategies/engine/set_up.h"

namespace attend::engine {
namespace {

using Seconds = std::chrono::duration<double>;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "engine: " + what);
}

}  // namespace

Engine::Engine(EngineConfig config) : config_(std::move(config)) {
  model_ = load_model(config_.model, model_options(config_));
  if (Tokenizer::present(config_.model))
    tokenizer_ = std::make_unique<Tokenizer>(Tokenizer::read(config_.model));
  set_up();
}

Engine::Engine(EngineConfig config, std::unique_ptr<Model> model,
               std::unique_ptr<Tokenizer> tokenizer)
    : config_(std::move(config)), model_(std::move(model)), tokenizer_(std::move(tokenizer)) {
  set_up();
}

Engine::~Engine() = default;

void Engine::set_up() {
  if (config_.strategy.empty()) config_.strategy = current_strategy().value_or("auto_regressive");
  const CacheShapes shapes = cache_shapes(model_->config());
  resolve(config_, model_->config(), shapes);
  const DType dtype = *config_.dtype;
  kv_pool_ = std::make_unique<KvPool>(shapes.attention, config_.num_pages, config_.page_size, dtype,
                                      config_.device);
  if (shapes.is_hybrid) {
    gdn_pool_ = std::make_unique<GdnPool>(shapes.gdn, config_.max_num_reqs, DType::kF32);
    backend_ = std::make_unique<HybridBackend>(*kv_pool_, *gdn_pool_);
  } else {
    backend_ = std::make_unique<PagedBackend>(*kv_pool_);
  }
  StrategyRegistries& parts = strategies();
  pages_ = parts.kv_cache_managers.make(config_.strategy, config_);
  scheduler_ = parts.schedulers.make(config_.strategy, config_, *pages_);
  runner_ = parts.model_runners.make(config_.strategy, config_, *model_, *backend_);
  sampler_ = parts.samplers.make(config_.strategy, config_);
  stats_.kv_pages = pages_->num_pages();
  if (gdn_pool_ == nullptr) return;
  scheduler_->on_admit = [this](Request& request) {
    request.state_slot = gdn_pool_->take();
    return request.state_slot >= 0;
  };
  scheduler_->on_release = [this](Request& request) {
    if (request.state_slot >= 0) gdn_pool_->give_back(std::exchange(request.state_slot, -1));
  };
}

int64_t Engine::add(std::vector<int32_t> prompt, const SamplingParams& params,
                    OnProgress on_progress) {
  params.validate();
  const int64_t vocab = model_->config().vocab_size;
  for (size_t i = 0; i < prompt.size(); ++i)
    if (prompt[i] < 0 || prompt[i] >= vocab)
      refuse("prompt[" + std::to_string(i) + "] is " + std::to_string(prompt[i]) +
             ", expected a token id from 0 to " + std::to_string(vocab - 1));
  if (!params.stop.empty() && tokenizer_ == nullptr)
    refuse("stop holds strings and the model has no tokenizer.json, expected stop_token_ids");
  Entry entry;
  const int64_t id = next_id_++;
  entry.request =
      strategies().requests.make(config_.strategy, config_, id, std::move(prompt), params);
  if (tokenizer_ != nullptr)
    entry.text = std::make_unique<TextOutput>(*tokenizer_, entry.request->params.stop);
  if (on_progress) entry.on_progress = std::make_shared<const OnProgress>(std::move(on_progress));
  entry.added = Clock::now();
  Entry& kept = entries_.emplace(id, std::move(entry)).first->second;
  try {
    scheduler_->add(*kept.request);
  } catch (...) {
    entries_.erase(id);
    throw;
  }
  if (kept.request->finished()) tell(kept);
  return id;
}

int64_t Engine::add(std::string_view prompt, const SamplingParams& params, OnProgress on_progress) {
  if (tokenizer_ == nullptr)
    refuse("prompt is text and the model has no tokenizer.json, expected token ids");
  return add(tokenizer_->encode(prompt), params, std::move(on_progress));
}

bool Engine::step() {
  const auto begin = Clock::now();
  std::vector<int64_t> ids;
  try {
    ids = run_batch();
  } catch (...) {
    scheduler_->retract();
    throw;
  }
  tell_all(ids);
  stats_.step_seconds += Seconds(Clock::now() - begin).count();
  return has_work();
}

// Schedules, runs, samples; the requests that have news.
std::vector<int64_t> Engine::run_batch() {
  const auto begin = Clock::now();
  const Batch batch = scheduler_->schedule();
  std::vector<int64_t> ids;
  if (batch.empty()) return ids;
  ids.reserve(batch.items.size());
  for (const ScheduledRequest& item : batch.items) ids.push_back(item.request->id);
  StepTimes times;
  const TensorView logits = [&] {
    const TimesScope scope(times);
    return runner_->run(batch);
  }();
  stats_.product_seconds += times.products;
  stats_.operator_seconds += times.operators;
  stats_.model_seconds += Seconds(Clock::now() - begin).count();
  const std::vector<Sample> samples = sampler_->sample(batch, logits);
  stats_.kv_pages_peak =
      std::max<int64_t>(stats_.kv_pages_peak, pages_->num_pages() - pages_->free_pages());
  scheduler_->postprocess(batch, samples);
  ++stats_.steps;
  stats_.rows += batch.num_rows();
  return ids;
}

// A listener that throws does not keep the others from being told. One may have taken a request that
// is still to be told of.
void Engine::tell_all(const std::vector<int64_t>& ids) {
  std::exception_ptr thrown;
  for (const int64_t id : ids) try {
      if (const auto at = entries_.find(id); at != entries_.end()) tell(at->second);
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
  if (thrown) std::rethrow_exception(thrown);
}

// What is new of a request, to its listener. Text may end the request: stop strings are found here.
void Engine::tell(Entry& entry) {
  Request& request = *entry.request;
  const int64_t total = request.response_len(), before = entry.num_told;
  if (entry.end_told || (total == before && !request.finished())) return;
  if (before == 0 && total > 0) entry.first_token = Clock::now();
  std::string text;
  if (entry.text != nullptr) {
    const bool by_id =
        request.finish_reason == FinishReason::kEos || request.finish_reason == FinishReason::kStop;
    const auto* response = request.tokens.data() + request.prompt_len;
    for (int64_t i = before; i < total - by_id && !entry.text->stopped(); ++i)
      text += entry.text->push(response[i]);
    if (request.finished()) text += entry.text->finish();
    if (entry.text->stopped() && scheduler_->end(request, FinishReason::kStop) == false)
      request.finish(FinishReason::kStop);
  }
  entry.num_told = total;
  if (request.finished()) {
    entry.end_told = true;
    entry.ended = Clock::now();
    stats_.prompt_tokens += request.prompt_len;
    stats_.response_tokens += total;
    stats_.shared_tokens += request.num_shared;
  }
  if (entry.on_progress == nullptr) return;
  // The listener may take the request: what it is told, and itself, outlive the entry.
  const std::shared_ptr<const OnProgress> listener = entry.on_progress;
  const std::vector<int32_t> news(request.tokens.end() - (total - before), request.tokens.end());
  (*listener)({request.id, news, text, request.finish_reason});
}

bool Engine::abort(int64_t id) {
  const auto at = entries_.find(id);
  if (at == entries_.end() || !scheduler_->end(*at->second.request, FinishReason::kAborted))
    return false;
  tell(at->second);
  return true;
}

Completion Engine::take(int64_t id) {
  auto at = entries_.find(id);
  if (at != entries_.end() && at->second.request->finished()) {
    tell(at->second);  // of one that a step has finished, by a listener that was told before it
    at = entries_.find(id);
  }
  if (at == entries_.end() || !at->second.request->finished())
    refuse("request " + std::to_string(id) +
           (at == entries_.end() ? " is unknown" : " still runs") +
           ", expected the id of one that has finished");
  const Entry entry = std::move(at->second);
  entries_.erase(at);
  Request& request = *entry.request;
  const auto response = request.tokens.begin() + request.prompt_len;
  const auto seconds = [&](Clock::time_point end) { return Seconds(end - entry.added).count(); };
  return {.id = id,
          .prompt_ids = {request.tokens.begin(), response},
          .token_ids = {response, request.tokens.end()},
          .text = entry.text != nullptr ? entry.text->text() : "",
          .finish_reason = request.finish_reason,
          .error = request.error,
          .logprobs = std::move(request.logprobs),
          .num_shared = request.num_shared,
          .num_preemptions = request.num_preemptions,
          .seconds_to_first_token = request.response_len() > 0 ? seconds(entry.first_token) : 0,
          .seconds = seconds(entry.ended)};
}

std::vector<Completion> Engine::generate(const std::vector<std::vector<int32_t>>& prompts,
                                         const SamplingParams& params) {
  std::vector<int64_t> ids;
  ids.reserve(prompts.size());
  try {
    for (const std::vector<int32_t>& prompt : prompts) ids.push_back(add(prompt, params));
    while (step()) {
    }
  } catch (...) {  // nobody else knows their ids
    for (const int64_t id : ids) abort(id), take(id);
    throw;
  }
  std::vector<Completion> completions;
  completions.reserve(ids.size());
  for (const int64_t id : ids) completions.push_back(take(id));
  return completions;
}

bool Engine::has_work() const { return scheduler_->has_work(); }

EngineStats Engine::stats() const {
  EngineStats stats = stats_;
  stats.preemptions = scheduler_->num_preemptions();
  return stats;
}

}  // namespace attend::engine
