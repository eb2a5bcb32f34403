// Products of bf16 words by AMX: tiles of 16 rows x 16 words. Included after tile-inl.h, in place of
// whose scores and accumulate these stand; packing, softmax and narrow rows are the same.
//
//   registers   2 x 2 tiles of sums, for 32 rows x 32 keys (or value dims), 2 of the left operand and
//               2 of the right: 4 products for 4 loads
//   cost        a product is 16 x 16 x 32 multiply-adds in 16 cycles
//   rows        a panel's 32 rows lie in memory whether they are in use or not: the others' results are
//               nobody's
//
// Unit is the instructions, or tests/native's imitation of them.
#pragma once
#include "backends/native/isa/tile_ops.h"

namespace attend::native::ATTEND_ISA {

inline constexpr int kTileRows = 16, kTileWords = 16;
static_assert(kRowStep == 2 * kTileRows && kKeyStep == 2 * kTileWords);

// Tiles 0..3 are sums, row by row; 4 and 5 the left operand's rows, 6 and 7 the right one's columns.
// left: [row][word], rows `stride` words apart; right: [word][2 kTileWords columns].
template <class Unit>
inline void multiply_tiles(const float* left, int64_t stride, const float* right, int32_t words,
                           bool lower) {
  constexpr int64_t kRight = kKeyStep;
  for (int32_t w = 0; w < words;
       w += kTileWords, left += kTileWords, right += kTileWords * kRight) {
    Unit::template load<6>(right, kRight);
    Unit::template load<7>(right + kTileWords, kRight);
    Unit::template load<4>(left, stride);
    Unit::template dot<0, 4, 6>();
    Unit::template dot<1, 4, 7>();
    if (!lower) continue;
    Unit::template load<5>(left + kTileRows * stride, stride);
    Unit::template dot<2, 5, 6>();
    Unit::template dot<3, 5, 7>();
  }
}

// Calls f<tile>(where it lies) for the tiles of sums that are in use.
template <class F>
inline void each_sum(int64_t stride, bool lower, F&& f) {
  f.template operator()<0>(0);
  f.template operator()<1>(kTileWords);
  if (!lower) return;
  f.template operator()<2>(kTileRows * stride);
  f.template operator()<3>(kTileRows * stride + kTileWords);
}

template <class Unit, class Words>
void scores_by_tiles(const Tile& t, const Panel& p, const Panel* before) {
  const typename Unit::Use use;
  const bool lower = p.rows > kTileRows;
  with_softmax<Words>(t, before, [&](auto& softmax) {
    for (int j = p.key_begin; j < p.key_end; j += kKeyStep) {
      each_sum(kScoreStride, lower, [&]<int n>(int64_t) { Unit::template zero<n>(); });
      multiply_tiles<Unit>(p.q, t.q_words, t.k + static_cast<int64_t>(j) * t.head_words,
                           t.head_words, lower);
      softmax.group();  // while the tiles are multiplied
      each_sum(kScoreStride, lower,
               [&]<int n>(int64_t at) { Unit::template store<n>(p.s + j + at, kScoreStride); });
    }
  });
}

template <class Unit>
void accumulate_by_tiles(const Tile& t, const Panel& p) {
  const bool lower = p.rows > kTileRows;
  if (!p.fresh)
    for (int r = 0; r < p.rows; ++r) {
      if (p.factor[r] == 1.0f) continue;
      float* row = p.out + static_cast<int64_t>(r) * t.v_dims;
      for (int d = 0; d < t.v_dims; d += kLanes) store(row + d, load(row + d) * p.factor[r]);
    }
  const typename Unit::Use use;
  const int32_t first = p.key_begin / 2, words = (p.key_end - p.key_begin) / 2;
  const int64_t group_floats = static_cast<int64_t>(t.keys) / 2 * kKeyStep;
  const float* v = t.v + static_cast<int64_t>(first) * kKeyStep;
  for (int d = 0; d < t.v_dims; d += kKeyStep, v += group_floats) {
    float* const out = p.out + d;
    each_sum(t.v_dims, lower, [&]<int n>(int64_t at) {
      if (p.fresh)
        Unit::template zero<n>();
      else
        Unit::template load<n>(out + at, t.v_dims);
    });
    multiply_tiles<Unit>(p.s + first, kScoreStride, v, words, lower);
    each_sum(t.v_dims, lower,
             [&]<int n>(int64_t at) { Unit::template store<n>(out + at, t.v_dims); });
  }
}

}  // namespace attend::native::ATTEND_ISA
