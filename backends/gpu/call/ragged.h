#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"

namespace attend::gpu {

// A ragged call as a vendor's kernel wants it told, and what that kernel leaves to be done.
struct RaggedCall {
  AttentionArgs args;
  AttentionParams params;
  const uint8_t* skip = nullptr;  // [batch]: requests with a bad index are left alone; null = none
  // For the vendor's kernel, [batch]: rows of each sequence, and keys that some row of it sees.
  int32_t *rows = nullptr, *keys = nullptr;
  // [batch + 1]: elements before the first of these in each tensor; sums are those below.
  int64_t *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *sums_at = nullptr;
  float* sums = nullptr;  // [total_q, heads]: the vendor's lse; null without lse
};
inline constexpr Kernel kRaggedWords{"attend_ragged_words", 128};
inline constexpr Kernel kRaggedFinish{"attend_ragged_finish", 128};
inline constexpr int kRaggedTeam = 32;                                   // threads that share a row
inline constexpr int kRaggedRows = kRaggedFinish.threads / kRaggedTeam;  // of a block

}  // namespace attend::gpu
