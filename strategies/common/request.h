#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "strategies/common/engine_config.h"
#include "strategies/common/sampling_params.h"

namespace attend::engine {

// waiting -> running -> finished; running -> waiting when its pages go to another (preemption).
enum class RequestStatus : uint8_t { kWaiting, kRunning, kFinished };

enum class FinishReason : uint8_t {
  kNone,
  kEos,      // an end-of-text id, which stays the last token
  kStop,     // a stop id, which stays the last token, or a stop string, which does not
  kLength,   // max_tokens, or the longest sequence that engine and model hold
  kAborted,  // by the caller
  kError,    // this request alone can not be served; Request::error says why
};
const char* name(FinishReason reason) noexcept;  // "eos", "stop", "length", ...

// A token of the response as the sampler saw it.
struct TokenLogprob {
  int32_t id = -1;
  float logprob = 0;                           // natural, before temperature and filters
  std::vector<std::pair<int32_t, float>> top;  // the likeliest, best first
};

// One prompt on its way to a response. What an engine knows of it: its tokens, how many of their keys
// are stored and where. Strategies derive from it.
class Request {
 public:
  Request(const EngineConfig&, int64_t number, std::vector<int32_t> prompt, SamplingParams asked)
      : id(number),
        prompt_len(static_cast<int64_t>(prompt.size())),
        tokens(std::move(prompt)),
        params(std::move(asked)) {}
  virtual ~Request() = default;

  const int64_t id;
  const int64_t prompt_len;
  std::vector<int32_t> tokens;  // prompt and response
  const SamplingParams params;

  RequestStatus status = RequestStatus::kWaiting;
  FinishReason finish_reason = FinishReason::kNone;
  std::string error;

  int64_t num_stored = 0;       // leading tokens whose keys are in the pages
  std::vector<int32_t> pages;   // of the KV pool, in order
  std::vector<uint64_t> chain;  // serial numbers of the stored pages (KvCacheManager)
  int32_t state_slot = -1;      // of the pools of gated delta layers; -1 = none
  int64_t num_shared = 0;       // tokens found in the prefix cache when it was last admitted
  int64_t num_preemptions = 0;
  std::vector<TokenLogprob> logprobs;  // of the response, where asked for

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t response_len() const { return num_tokens() - prompt_len; }
  bool finished() const { return status == RequestStatus::kFinished; }
  void finish(FinishReason reason) {
    status = RequestStatus::kFinished;
    finish_reason = reason;
  }
};

}  // namespace attend::engine
