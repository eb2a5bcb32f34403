#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attend::engine {

// What one request asks of the sampler and when it ends.
struct SamplingParams {
  float temperature = 1.0f;         // 0 = greedy: the likeliest token, the lowest id of equals
  int32_t top_k = 0;                // only the k likeliest; 0 = all
  float top_p = 1.0f;               // only the likeliest whose shares reach p; (0, 1]
  float min_p = 0.0f;               // only those with min_p of the likeliest's share; [0, 1]
  float repetition_penalty = 1.0f;  // of tokens that stand in prompt or response; > 0, 1 = off
  std::optional<uint64_t> seed;     // same seed, same draws, whatever else runs; unset = the id

  int32_t max_tokens = 512;             // of the response; at least 1
  bool ignore_eos = false;              // the model's end-of-text ids do not end the response
  std::vector<int32_t> stop_token_ids;  // end it, and stay its last token; ignore_eos or not
  std::vector<std::string> stop;        // end it, and are cut off its text
  int32_t logprobs = -1;                // of each token; n >= 0: and of the n likeliest; -1 = none

  //   errors   kInvalidArgument naming the field
  void validate() const;
};

}  // namespace attend::engine
