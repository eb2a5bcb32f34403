#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/tensor.h"
#include "strategies/common/batch.h"
#include "strategies/common/engine_config.h"

namespace attend::engine {

// What was drawn for one request.
struct Sample {
  Request* request = nullptr;
  TokenLogprob token;
  std::string error;  // why nothing could be drawn
};

// Draws the next token of every request that samples.
//
// A draw depends on the request's logits, parameters, seed and position alone, so that neither the
// batch nor a preemption changes it.
class Sampler {
 public:
  explicit Sampler(const EngineConfig&) {}
  virtual ~Sampler() = default;
  // logits  f32 [samples, vocab], a row for each item of the batch that samples, in its order
  virtual std::vector<Sample> sample(const Batch& batch, const TensorView& logits);
};

}  // namespace attend::engine
