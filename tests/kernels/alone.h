#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "attend/attention_params.h"

namespace attend::testing {

// Some sequences of a call as a call of their own: views into the same memory, outputs included.
struct Part {
  AttentionArgs args;
  AttentionParams params;
  std::vector<std::unique_ptr<std::vector<int64_t>>> positions;  // its cu_seqlens and kv_indptr
};

Part part(const AttentionArgs& args, const AttentionParams& params, int64_t first, int64_t count);
inline Part alone(const AttentionArgs& args, const AttentionParams& params, int64_t b) {
  return part(args, params, b, 1);
}

}  // namespace attend::testing
