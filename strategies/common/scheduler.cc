#include "strategies/common/scheduler.h"

#include <algorithm>
#include <string>

#include "attend/error.h"

namespace attend::engine {
namespace {

bool holds(const std::vector<int32_t>& list, int32_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

Scheduler::Scheduler(const EngineConfig& config, KvCacheManager& pages)
    : max_num_reqs_(config.max_num_reqs),
      max_num_batched_tokens_(config.max_num_batched_tokens),
      fixed_chunk_(config.batch_invariant ? config.chunk : 0),
      eos_token_ids_(config.eos_token_ids.value_or(std::vector<int32_t>{})),
      pages_(pages) {
  const auto expect = [](const char* field, int64_t got, int64_t least, const char* why) {
    if (got < least)
      throw Error(ErrorCode::kInvalidArgument, std::string("scheduler: ") + field + " is " +
                                                   std::to_string(got) + ", expected " +
                                                   std::to_string(least) + " or more" + why);
  };
  expect("max_num_reqs", max_num_reqs_, 1, "");
  expect("max_model_len", config.max_model_len, 0, "");
  if (config.batch_invariant) expect("chunk", config.chunk, 1, " with batch_invariant");
  expect("max_num_batched_tokens", max_num_batched_tokens_, max_num_reqs_ + fixed_chunk_,
         fixed_chunk_ > 0 ? ", a row of each of max_num_reqs and a whole chunk"
                          : ", a row of each of max_num_reqs");
  const int64_t pool = int64_t{pages.num_pages()} * pages.page_size();
  max_model_len_ = config.max_model_len > 0 ? std::min(config.max_model_len, pool) : pool;
}

void Scheduler::add(Request& request) {
  const auto refuse = [&](const std::string& why) {
    request.error = "request " + std::to_string(request.id) + ": " + why;
    request.finish(FinishReason::kError);
  };
  if (request.num_tokens() == 0) return refuse("prompt is empty, expected at least one token");
  if (request.num_tokens() >= max_model_len_)
    return refuse("prompt has " + std::to_string(request.num_tokens()) +
                  " tokens, expected fewer than " + std::to_string(max_model_len_) +
                  " (the model's length and " + std::to_string(pages_.num_pages()) + " pages of " +
                  std::to_string(pages_.page_size()) + " tokens)");
  waiting_.push_back(&request);
}

bool Scheduler::end(Request& request, FinishReason reason) {
  if (std::erase(waiting_, &request) == 0) {
    if (std::erase(running_, &request) == 0) return false;
    release(request);
  }
  request.finish(reason);
  return true;
}

void Scheduler::release(Request& request) {
  pages_.release(request);
  if (on_release) on_release(request);
}

void Scheduler::preempt_last() {
  Request& request = *running_.back();
  waiting_.push_front(&request);  // first, as it may throw
  running_.pop_back();
  release(request);
  request.status = RequestStatus::kWaiting;
  ++request.num_preemptions;
  ++num_preemptions_;
}

// Pages for the request at this place of the running ones, taken from those behind it where needed;
// false if it had to give up its own.
bool Scheduler::make_room(size_t index, int64_t tokens) {
  while (!pages_.reserve(*running_[index], tokens)) {
    const bool is_last = index + 1 == running_.size();
    preempt_last();
    if (is_last) return false;
  }
  return true;
}

int64_t Scheduler::rows_of(const Request& request, int64_t budget) const {
  const int64_t left = request.num_tokens() - request.num_stored;
  if (fixed_chunk_ == 0) return std::min(left, budget);
  if (request.num_stored >= request.prompt_len) return std::min<int64_t>(1, budget);
  const int64_t chunk = std::min(fixed_chunk_ - request.num_stored % fixed_chunk_,
                                 request.prompt_len - request.num_stored);
  return chunk <= budget ? chunk : 0;
}

Batch Scheduler::schedule() {
  Batch batch;
  int64_t budget = max_num_batched_tokens_;
  const int64_t preemptions_before = num_preemptions_;
  const auto run = [&](Request& request, int64_t rows) {
    batch.items.push_back(
        {&request, request.num_stored, rows, request.num_stored + rows == request.num_tokens()});
    budget -= rows;
  };
  for (size_t i = 0; i < running_.size(); ++i) {
    Request& request = *running_[i];
    const auto behind = static_cast<int64_t>(running_.size() - i - 1);  // a row is theirs
    const int64_t rows = rows_of(request, budget - behind);
    if (rows > 0 && make_room(i, request.num_stored + rows)) run(request, rows);
  }
  if (num_preemptions_ != preemptions_before) return batch;  // what ran out is not given away again
  while (!waiting_.empty() && num_running() < max_num_reqs_) {
    Request& request = *waiting_.front();
    pages_.take_prefix(request);
    const int64_t rows = rows_of(request, budget);
    if (rows <= 0 || !pages_.reserve(request, request.num_stored + rows) ||
        (on_admit && !on_admit(request))) {
      pages_.release(request);
      break;
    }
    running_.push_back(&request);
    waiting_.pop_front();
    request.status = RequestStatus::kRunning;
    run(request, rows);
  }
  return batch;
}

bool Scheduler::is_eos(int32_t token) const { return holds(eos_token_ids_, token); }

void Scheduler::append(Request& request, const Sample& sample) {
  if (!sample.error.empty()) {
    request.error = sample.error;
    return request.finish(FinishReason::kError);
  }
  const int32_t token = sample.token.id;
  request.tokens.push_back(token);
  if (request.params.logprobs >= 0) request.logprobs.push_back(sample.token);
  if (holds(request.params.stop_token_ids, token))
    request.finish(FinishReason::kStop);
  else if (!request.params.ignore_eos && is_eos(token))
    request.finish(FinishReason::kEos);
  else if (request.response_len() >= request.params.max_tokens ||
           request.num_tokens() >= max_model_len_)
    request.finish(FinishReason::kLength);
}

void Scheduler::postprocess(const Batch& batch, const std::vector<Sample>& samples) {
  for (const ScheduledRequest& item : batch.items) {
    item.request->num_stored = item.begin + item.count;
    pages_.stored(*item.request);
  }
  for (const Sample& sample : samples)
    if (sample.request != nullptr) append(*sample.request, sample);
  let_go();
}

void Scheduler::retract() {
  let_go();
  while (!running_.empty()) preempt_last();
  for (Request* request : waiting_) release(*request);  // one that was being admitted
}

void Scheduler::let_go() {
  std::erase_if(running_, [this](Request* request) {
    if (!request->finished()) return false;
    release(*request);
    return true;
  });
}

}  // namespace attend::engine
