#pragma once
// The recurrence of the gated delta rule over a few tokens.
//
//   threads  kParts of them share a value dim: each holds kWords words of its row of the state in
//            registers, interleaved, so that they read k and q word beside word
//   a token  d = beta (v - (decay k) S);  S = S + growth S + k d;  out = q S, growth = decay - 1:
//            a decay near 1 has few bits left in f32, growth has all of them, and thousands of
//            steps do not drift
//   waits    nothing but exchanges inside kParts threads: no one else touches a row of the state
//   cost     8 k_dim FLOP a token and value dim
#include "backends/gpu/body/gdn_rows.h"

namespace attend::gpu {

template <class Block>
ATTEND_DEVICE void run_steps(const Block& b, int64_t first, int n) {
  constexpr int kParts = Block::kThreads / Block::kSlice, kWords = Block::kMostK / 4 / kParts;
  Thread& x = b.x;
  const int v = x.tid() / kParts, part = x.tid() % kParts;
  const bool per_channel = b.shared.head.per_channel();
  const GdnGates& gates = b.shared.gates;
  const auto sum_parts = [&](const Word& sums) {
    float sum = (sums.x[0] + sums.x[1]) + (sums.x[2] + sums.x[3]);
    for (int mask = kParts / 2; mask > 0; mask /= 2) sum += x.shfl_xor(sum, mask);
    return sum;
  };

  Word state[kWords];
#pragma unroll
  for (int m = 0; m < kWords; ++m) {
    state[m] = word(b.shared.state[v], part + m * kParts);
  }
#pragma unroll 1
  for (int t = 0; t < n; ++t) {
    const float every = gdn_expm1(static_cast<float>(gates.log_decay[t]));
    const auto growth_of = [&](int at) {
      return per_channel ? word(b.shared.growth(t), at) : Word{{every, every, every, every}};
    };
    Word predicted{};
#pragma unroll
    for (int m = 0; m < kWords; ++m) {
      const int at = part + m * kParts;
      const Word k = word(b.shared.k[t], at), growth = growth_of(at);
#pragma unroll
      for (int e = 0; e < 4; ++e) predicted.x[e] += (k.x[e] + growth.x[e] * k.x[e]) * state[m].x[e];
    }
    const float d = gates.beta[t] * (b.shared.u[t][v] - sum_parts(predicted));
    Word out{};
#pragma unroll
    for (int m = 0; m < kWords; ++m) {
      const int at = part + m * kParts;
      const Word k = word(b.shared.k[t], at), q = word(b.shared.q[t], at), growth = growth_of(at);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float& element = state[m].x[e];
        element = element + growth.x[e] * element;
        element = element + k.x[e] * d;
        out.x[e] += q.x[e] * element;
      }
    }
    const float value = sum_parts(out);
    if (part == 0 && v < b.v_count()) b.put(first + t, v, value);
  }
#pragma unroll
  for (int m = 0; m < kWords; ++m) {
    word(b.shared.state[v], part + m * kParts) = state[m];
  }
}

}  // namespace attend::gpu
