#pragma once
// How what the gated delta rule needs comes to shared memory: rows of q and k, normalised and scaled,
// rows of v, and the block's slice of the state; and how the state goes back.
#include "backends/gpu/body/gdn_block.h"

namespace attend::gpu {

// f(v, k, element of shared memory) of every element of the state's slice, those that fill up rows
// and slices included.
template <class Block, class F>
ATTEND_DEVICE void for_state(const Block& b, F&& f) {
#pragma unroll 1
  for (int v = b.x.tid() / kTeam; v < Block::kSlice; v += Block::kThreads / kTeam)
#pragma unroll 1
    for (int k = b.x.tid() % kTeam; k < Block::kMostK; k += kTeam) f(v, k, b.shared.state[v][k]);
}
template <class Block>
ATTEND_DEVICE void load_state(const Block& b) {
  const RowsView& from = b.shared.head.from;
  for_state(b, [&](int v, int k, float& element) {
    element = from.base && v < b.v_count() && k < b.k_dim() ? state_at(from, v, k) : 0.0f;
  });
}
template <class Block>
ATTEND_DEVICE void store_state(const Block& b) {
  const RowsView& to = b.shared.head.to;
  if (!to.base) return;
  for_state(b, [&](int v, int k, float& element) {
    if (v < b.v_count() && k < b.k_dim()) state_at(to, v, k) = element;
  });
}

// Tokens [first, first + n) of q and k by teams, a row each; zeros up to `rows`.
template <class Block>
ATTEND_DEVICE void load_keys(const Block& b, int64_t first, int n, int rows) {
  constexpr int kMine = Block::kMostK / kTeam;  // elements of a row that are a thread's
  const GdnHead& h = b.shared.head;
  const int lane = b.x.tid() % kTeam;
#pragma unroll 1
  for (int top = 0; top < 2 * rows; top += Block::kThreads / kTeam) {  // as often for every team
    const int row = top + b.x.tid() / kTeam;
    const bool is_q = row < rows;
    const int i = is_q ? row : row - rows;
    const RowsView& from = h.rows[is_q ? GdnCall::kQ : GdnCall::kK];
    float mine[kMine];
#pragma unroll
    for (int m = 0; m < kMine; ++m) {
      const int d = lane + m * kTeam;
      const bool real = row < 2 * rows && i < n && d < b.k_dim();
      mine[m] = real ? element_at(from, first + i, d) : 0.0f;
    }
    float scale = is_q ? h.q_scale : 1.0f;
    if (h.normalize) {
      const float length = team_length(b.x,
                                       [&](float factor) {
                                         float sum = 0.0f;
#pragma unroll
                                         for (int m = 0; m < kMine; ++m)
                                           sum += (mine[m] * factor) * (mine[m] * factor);
                                         return sum;
                                       }) +
                           h.l2_eps;
      scale *= length == 0.0f ? 0.0f : 1.0f / length;
    }
    float* const to = is_q ? b.shared.q[i] : b.shared.k[i];
#pragma unroll
    for (int m = 0; m < kMine; ++m) {
      if (row < 2 * rows) to[lane + m * kTeam] = mine[m] * scale;
    }
  }
}

template <class Block>
ATTEND_DEVICE void load_values(const Block& b, int64_t first, int n, int rows) {
  const int d = b.x.tid() % Block::kSlice;
#pragma unroll 1
  for (int i = b.x.tid() / Block::kSlice; i < rows; i += Block::kThreads / Block::kSlice)
    b.shared.u[i][d] =
        i < n && d < b.v_count() ? element_at(b.shared.head.rows[GdnCall::kV], first + i, d) : 0.0f;
}

// decay - 1 of each channel.
template <class Block>
ATTEND_DEVICE void load_channel_growth(const Block& b, int64_t first, int n) {
  const bool logarithms = b.shared.head.decay_from == GdnDecayFrom::kChannelLogarithm;
#pragma unroll 1
  for (int i = b.x.tid() / kTeam; i < n; i += Block::kThreads / kTeam)
#pragma unroll 1
    for (int d = b.x.tid() % kTeam; d < Block::kMostK; d += kTeam) {
      const float value =
          d < b.k_dim() ? element_at(b.shared.head.rows[GdnCall::kDecay], first + i, d) : 1.0f;
      b.shared.growth(i)[d] = d >= b.k_dim() ? 0.0f : logarithms ? gdn_expm1(value) : value - 1.0f;
    }
}

}  // namespace attend::gpu
