#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "strategies/common/batch.h"
#include "strategies/common/kv_cache_manager.h"
#include "strategies/common/sampler.h"

namespace attend::engine {

// Which requests a step runs, and which rows of each: continuous batching with chunked prefill.
//
// Requests are served in the order in which they came. A step holds a row of every running request
// and fills up with prompts, whole or in part, until the token budget is used; prompts and single
// rows go in one batch. Where pages run out the last admitted request gives up its own and waits at
// the head of the queue; it later computes its tokens again, which the prefix cache often spares it.
// The first of those that run can therefore always go on, so nobody waits for ever.
class Scheduler {
 public:
  Scheduler(const EngineConfig& config, KvCacheManager& pages);
  virtual ~Scheduler() = default;

  // A request that can never fit finishes at once, with the numbers in its error.
  virtual void add(Request& request);
  // Ends a request before its time; false if this scheduler does not have it (any more).
  virtual bool end(Request& request, FinishReason reason);
  virtual Batch schedule();
  // After the step: keys are stored, drawn tokens appended, those that are done let go.
  virtual void postprocess(const Batch& batch, const std::vector<Sample>& samples);
  // After a step that threw: whatever runs gives up its pages, and its state, which may be half a step
  // ahead, and waits in its order to be computed again.
  virtual void retract();

  bool has_work() const noexcept { return !waiting_.empty() || !running_.empty(); }
  int64_t num_waiting() const noexcept { return static_cast<int64_t>(waiting_.size()); }
  int64_t num_running() const noexcept { return static_cast<int64_t>(running_.size()); }
  int64_t num_preemptions() const noexcept { return num_preemptions_; }

  // Called when a request is admitted and when it lets go of its pages: for state beside pages.
  std::function<bool(Request&)> on_admit;  // false: not now
  std::function<void(Request&)> on_release;

 protected:
  // How many rows this request may use of what is left of the budget.
  virtual int64_t rows_of(const Request& request, int64_t budget) const;
  virtual void append(Request& request, const Sample& sample);
  void release(Request& request);
  void preempt_last();
  void let_go();  // of those that have finished

  const int64_t max_num_reqs_, max_num_batched_tokens_;
  int64_t max_model_len_;  // at most what the pool holds
  // > 0: prompts go in whole chunks that begin at its multiples and responses token by token, also
  // when they are computed again.
  const int64_t fixed_chunk_;
  const std::vector<int32_t> eos_token_ids_;
  KvCacheManager& pages_;
  std::deque<Request*> waiting_;
  std::vector<Request*> running_;  // in the order of admission
  int64_t num_preemptions_ = 0;

 private:
  bool is_eos(int32_t token) const;
  bool make_room(size_t index, int64_t tokens);
};

}  // namespace attend::engine
