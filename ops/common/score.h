#pragma once
#include <cstdint>

#include "ops/common/portable.h"

namespace attend {

// Steps 1 to 3 of AttentionParams for one score: scale, softcap, bias and alibi. The mask (step 4)
// selects after it.
struct ScoreMod {
  float scale = 1.0f;
  float softcap = 0.0f;  // 0 = off
  float slope = 0.0f;    // alibi; 0 = off

  ATTEND_HD float scaled(float dot) const { return dot * scale; }
  ATTEND_HD float capped(float s) const {
    return softcap > 0.0f ? softcap * math::tanh(s / softcap) : s;
  }
  // distance = |p - j|
  ATTEND_HD float biased(float s, float bias, float distance) const {
    return s + bias - slope * distance;
  }
};

}  // namespace attend
