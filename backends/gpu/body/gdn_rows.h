#pragma once
// How what the gated delta rule needs comes to shared memory: rows of q and k, normalised and scaled,
// rows of v, and the block's slice of the state; and how the state goes back.
#include "backends/gpu/body/gdn_block.h"

namespace attend::gpu {

// Many loads are under way before the first is waited for: a block alone must fill its share of the
// memory's bandwidth.
//
// put(v, k, get(v, k)) of every element of the state's slice, those that fill up rows and slices
// included; each is one thread's.
template <class Block, class Get, class Put>
ATTEND_DEVICE void move_state(const Block& b, Get&& get, Put&& put) {
  constexpr int kTeams = Block::kThreads / kTeam, kMine = Block::kMostK / kTeam, kRows = 16 / kMine;
  const int lane = b.x.tid() % kTeam;
#pragma unroll 1
  for (int top = b.x.tid() / kTeam; top < Block::kSlice; top += kRows * kTeams) {
    float mine[kRows][kMine];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int m = 0; m < kMine; ++m) mine[r][m] = get(top + r * kTeams, lane + m * kTeam);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int m = 0; m < kMine; ++m) put(top + r * kTeams, lane + m * kTeam, mine[r][m]);
  }
}

// Of a state in memory, zeros where it has no element.
template <class Block>
struct StateElement {
  const RowsView& state;
  int v_count, k_dim;

  ATTEND_DEVICE StateElement(const Block& b, const RowsView& rows)
      : state(rows), v_count(rows.base ? b.v_count() : 0), k_dim(b.k_dim()) {}
  ATTEND_DEVICE float get(int v, int k) const {
    return v < v_count && k < k_dim ? state_at(state, v, k) : 0.0f;
  }
  ATTEND_DEVICE void put(int v, int k, float value) const {
    if (v < v_count && k < k_dim) state_at(state, v, k) = value;
  }
};
template <class Block>
ATTEND_DEVICE void load_state(const Block& b) {
  const StateElement<Block> from(b, b.shared.head.from);
  move_state(
      b, [&](int v, int k) { return from.get(v, k); },
      [&](int v, int k, float value) { b.shared.state[v][k] = value; });
}
template <class Block>
ATTEND_DEVICE void store_state(const Block& b) {
  const StateElement<Block> to(b, b.shared.head.to);
  move_state(
      b, [&](int v, int k) { return b.shared.state[v][k]; },
      [&](int v, int k, float value) { to.put(v, k, value); });
}

// 1 / (|row| + eps) of a team's row; 0 of zeros.
template <int kMine>
ATTEND_DEVICE float inverse_length(Thread& x, const float (&row)[kMine], float eps) {
  const float length = team_length(x,
                                   [&](float factor) {
                                     float sum = 0.0f;
#pragma unroll
                                     for (int m = 0; m < kMine; ++m)
                                       sum += (row[m] * factor) * (row[m] * factor);
                                     return sum;
                                   }) +
                       eps;
  return length == 0.0f ? 0.0f : 1.0f / length;
}

// Tokens [first, first + n) of q and k by teams, a row each; zeros up to `rows`.
template <class Block>
ATTEND_DEVICE void load_keys(const Block& b, int64_t first, int n, int rows) {
  constexpr int kTeams = Block::kThreads / kTeam, kMine = Block::kMostK / kTeam, kRows = 16 / kMine;
  const GdnHead& h = b.shared.head;
  const int lane = b.x.tid() % kTeam;
#pragma unroll 1
  for (int top = 0; top < 2 * rows; top += kRows * kTeams) {  // as often for every team
    uint32_t bits[kRows][kMine];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int row = top + r * kTeams + b.x.tid() / kTeam, i = row < rows ? row : row - rows;
      const RowsView& from = h.rows[row < rows ? GdnCall::kQ : GdnCall::kK];
#pragma unroll
      for (int m = 0; m < kMine; ++m) {
        const bool real = i < n && lane + m * kTeam < h.k_dim;
        bits[r][m] = real ? bits_at(from, first + i, lane + m * kTeam) : 0;
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int row = top + r * kTeams + b.x.tid() / kTeam;
      float mine[kMine];
#pragma unroll
      for (int m = 0; m < kMine; ++m) mine[m] = value_of(bits[r][m], h.rows[GdnCall::kQ].dtype);
      float scale = row < rows ? h.q_scale : 1.0f;
      if (h.normalize) scale *= inverse_length(b.x, mine, h.l2_eps);
      float* const to = row < rows ? b.shared.q[row] : b.shared.k[row - rows];
#pragma unroll
      for (int m = 0; m < kMine; ++m)
        if (row < 2 * rows) to[lane + m * kTeam] = mine[m] * scale;
    }
  }
}

template <class Block>
ATTEND_DEVICE void load_values(const Block& b, int64_t first, int n, int rows) {
  constexpr int kStep = Block::kThreads / Block::kSlice, kMine = kGdnTile / kStep;
  const int d = b.x.tid() % Block::kSlice, top = b.x.tid() / Block::kSlice;
  const RowsView& from = b.shared.head.rows[GdnCall::kV];
  uint32_t bits[kMine];
#pragma unroll
  for (int m = 0; m < kMine; ++m) {
    const int i = top + m * kStep;
    bits[m] = i < n && d < b.v_count() ? bits_at(from, first + i, d) : 0;
  }
#pragma unroll
  for (int m = 0; m < kMine; ++m)
    if (top + m * kStep < rows) b.shared.u[top + m * kStep][d] = value_of(bits[m], from.dtype);
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
