#pragma once
#include "backends/cuda/cudnn_plan.h"
#include "backends/gpu/call/ragged.h"

// What a ragged call of sdpa/cuda/cudnn adds to the plan's own workspace: the lengths and offsets
// that cuDNN reads on the device, and where it leaves its sums.
namespace attend::cuda {

struct RaggedSpace {
  uint64_t rows = 0, keys = 0, offsets[5] = {}, sums = 0;  // bytes from its start
  uint64_t bytes = 0;

  explicit RaggedSpace(const AttentionArgs& a);
};

// The call with its memory, which begins at `at`.
gpu::RaggedCall ragged_call(const AttentionArgs& a, const AttentionParams& p, const uint8_t* skip,
                            std::byte* at);
// What the plan is given of it.
CudnnTensors ragged_tensors(const gpu::RaggedCall& call);

}  // namespace attend::cuda
