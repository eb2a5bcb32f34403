#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"

namespace attend::gpu {

struct MergeCall {
  MergeArgs args;
  int64_t rows = 0;  // heads of all query positions
};
inline constexpr int kMergeTeam = 32;  // threads that share a row
inline constexpr Kernel kMerge{"attend_merge", 128};
inline constexpr int kMergeRows = kMerge.threads / kMergeTeam;  // of a block

}  // namespace attend::gpu
