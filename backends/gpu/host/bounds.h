#pragma once
#include <cstdint>

#include "attend/attention_params.h"

namespace attend::gpu {

// What a launch may assume of a call whose index tensors it cannot read: no sequence has more rows
// or keys. Words of the call where they are told, else what its tensors have room for.
struct Bounds {
  int64_t rows = 0, keys = 0;

  explicit Bounds(const AttentionArgs& a);
};

}  // namespace attend::gpu
