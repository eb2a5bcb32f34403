#pragma once
// What a team of 32 threads, half a warp of 64 or a whole one of 32, adds up together. Every thread
// of the block calls.
#include "backends/gpu/device/thread.h"
#include "ops/common/portable.h"

namespace attend::gpu {

inline constexpr int kTeam = 32;

ATTEND_DEVICE float team_sum(Thread& x, float value) {
  for (int mask = kTeam / 2; mask > 0; mask /= 2) value += x.shfl_xor(value, mask);
  return value;
}

// The root of the sum of the squares of what the threads of a team have; squares(scale) is this
// thread's sum, its elements times a power of two: where f32 cannot hold the squares, they are summed
// again, scaled.
template <class Squares>
ATTEND_DEVICE float team_length(Thread& x, Squares&& squares) {
  const float sum = team_sum(x, squares(1.0f));
  const bool good = sum > 1e-30f && sum < 1e30f;
  if (x.ballot(!good) == 0) return math::sqrt(sum);
  const bool large = sum >= 1e30f;
  const float scaled = team_sum(x, squares(large ? 0x1p-80f : 0x1p100f));
  return good ? math::sqrt(sum) : math::sqrt(scaled) * (large ? 0x1p80f : 0x1p-100f);
}

}  // namespace attend::gpu
