#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attend/tensor.h"

namespace attend::engine {

// How an engine is set up. What is unset follows from the model; resolve() fills it in.
struct EngineConfig {
  std::string model;     // folder with config.json and the weights
  std::string strategy;  // a name of the registries; empty = current_strategy(), or auto_regressive
  Device device;         // native is the only one that models run on
  std::optional<DType> dtype;  // kF32 or kBF16, of products and KV; unset: bf16 where the
                               // checkpoint is 16-bit and the CPU multiplies it, else f32

  int32_t page_size = 16;  // tokens of a KV page
  int32_t num_pages = 0;   // 0 = what kv_cache_bytes hold
  int64_t kv_cache_bytes = int64_t{1} << 30;
  bool prefix_caching = true;  // off for models with gated delta layers

  int64_t max_num_reqs = 64;              // running at once
  int64_t max_num_batched_tokens = 2048;  // rows of a step
  int64_t max_model_len =
      0;  // tokens of a request, at most the model's; 0 = what model and pool hold
  // A request's tokens are the same whatever runs beside it, in bf16, too: products in fixed blocks of
  // rows, prompts in whole chunks of `chunk` tokens, preempted responses computed again one by one.
  bool batch_invariant = false;
  int64_t chunk = 256;

  std::optional<std::vector<int32_t>> eos_token_ids;  // unset = the model's
};

}  // namespace attend::engine
