#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "attend/attention_params.h"

namespace attend::testing {

// Sequence b of a call as a call of its own: views into the same memory, outputs included.
struct Alone {
  AttentionArgs args;
  AttentionParams params;
  std::unique_ptr<std::array<int64_t, 6>> positions;  // memory of its cu_seqlens and kv_indptr
};

Alone alone(const AttentionArgs& args, const AttentionParams& params, int64_t b);

}  // namespace attend::testing
