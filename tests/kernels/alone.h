#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "attend/attention_params.h"

namespace attend::testing {

// Sequence b of a call as a call of its own: views into the same memory, outputs included.
struct Alone {
  AttentionArgs args;
  AttentionParams params;
  std::unique_ptr<std::vector<int64_t>> cu_seqlens;  // of the ragged call
};

Alone alone(const AttentionArgs& args, const AttentionParams& params, int64_t b);

}  // namespace attend::testing
