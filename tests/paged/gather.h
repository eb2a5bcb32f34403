#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "attend/attention_params.h"

namespace attend::testing {

// A paged call as a contiguous one over the same keys in their order: rows of q and outputs are
// the same memory, k and v are copies.
struct Gathered {
  AttentionArgs args;
  AttentionParams params;
  std::vector<std::byte> k, v;
  std::vector<int64_t> keys, kv_segment_ids;  // memory of seqused_k or cu_seqlens_k, and ids
};

// Null where the keys have no element type in common: own rows beside a cache of another dtype.
std::unique_ptr<Gathered> gather(const AttentionArgs& args, const AttentionParams& params);

}  // namespace attend::testing
