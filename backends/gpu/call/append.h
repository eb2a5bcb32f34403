#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"

namespace attend::gpu {

struct AppendCall {
  AttentionArgs args;             // of append, or of a paged call
  const uint8_t* skip = nullptr;  // [batch], append alone [tokens]: not 0 = not stored; may be null
  int64_t batch = 0;              // 0 = append alone: every row, and no requests
  int64_t tokens = 0;             // rows of k_new
  bool k_words = false;           // rows of k may be copied 16 bytes at a time
  bool v_words = false;
  bool v_apart = true;  // false: v is a view of k's elements, and v_new of k_new's
};
inline constexpr int kAppendTeam = 32;  // threads that share a token
inline constexpr Kernel kAppend{"attend_append", 128};
inline constexpr int kAppendTokens = kAppend.threads / kAppendTeam;  // of a block

}  // namespace attend::gpu
