#pragma once
#include <cstdint>
#include <vector>

#include "strategies/common/sampling_params.h"

namespace attend::engine {

// The likeliest token, the lowest id of equals.
int32_t greedy(const std::vector<float>& logits);

// A token drawn from softmax(logits / temperature) after top_k, top_p and min_p, in this order; u in
// [0, 1) decides which. Equal logits stand in the order of their ids.
int32_t draw(const std::vector<float>& logits, const SamplingParams& params, double u);

// A number in [0, 1) of (seed, position), the same on every machine.
double uniform(uint64_t seed, uint64_t position) noexcept;

}  // namespace attend::engine
