#pragma once
#include "attend/kernel.h"
#include "backends/gpu/call/kernel.h"
#include "ops/common/philox.h"

namespace attend::gpu {

struct VanillaCall {
  AttentionArgs args;
  AttentionParams params;  // softmax_scale is set
  Dropout dropout;
  const uint8_t* skip = nullptr;  // [batch]: requests with a bad index are left alone; null = none
  int64_t rows = 0;               // most rows of a sequence
  int64_t row_keys = 0;           // floats of a row of scores
  float* scores = nullptr;        // a row for each block
  int64_t first_row = 0;          // of those of all sequences and heads: that of the first block
};
inline constexpr Kernel kVanilla{"attend_vanilla", 128};
inline constexpr uint32_t kVanillaSharedBytes = 1024;

}  // namespace attend::gpu
