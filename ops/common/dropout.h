#pragma once
#include <cmath>

#include "attend/attention_params.h"
#include "ops/common/philox.h"

namespace attend {

// The dropout that a call asks for; without effect where dropout_p is 0.
inline Dropout dropout_of(const AttentionParams& p) {
  Dropout d;
  if (p.dropout_p <= 0.0f) return d;
  d.seed = p.dropout_seed.value_or(0);
  d.offset = static_cast<uint32_t>(p.dropout_offset);
  d.threshold = static_cast<uint64_t>(std::floor(static_cast<double>(p.dropout_p) * 0x1p32));
  d.keep_scale = 1.0f / (1.0f - p.dropout_p);
  return d;
}

}  // namespace attend
