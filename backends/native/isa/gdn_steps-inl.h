// gdn's recurrence, token by token, on value rows of the state as they lie in memory.
//
//   block    the value rows of a panel (16 KiB with AVX-512 at k_dim 128), taken through all tokens
//            of the run while they are in the first-level cache; half as many were 2 % slower
//   token    two passes over the block, four rows at once: the predictions decayed_k S; then the
//            update, whose products with q are the output. Sums run along the lanes of a row; those
//            of a block's rows are added up across lanes together
//   memory   a single token reads and writes the state once and does no more than 8 FLOP a float:
//            the next block is asked for while this one is worked on
#pragma once
#include "backends/native/isa/gdn_ops.h"
#include "backends/native/isa/tile-inl.h"

namespace attend::native::ATTEND_ISA {

inline constexpr int kBlockRows = kKeyStep;

template <int rows, bool ask>
inline void predict(const float* s, int64_t stride, int32_t k_dim, const float* decayed_k,
                    VF* sum) {
  VF acc[rows] = {};
  for (int32_t c = 0; c < k_dim; c += kLanes) {
    const VF k = load(decayed_k + c);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      if constexpr (ask) __builtin_prefetch(s + (r + kBlockRows) * stride + c, 1);
      acc[r] = acc[r] + k * load(s + r * stride + c);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) sum[r] = acc[r];
}

template <int rows>
inline void update(const float* from, int64_t from_stride, float* to, int64_t to_stride,
                   int32_t k_dim, const float* growth, const float* k, const float* q,
                   const float* error, VF* sum) {
  VF acc[rows] = {}, d[rows];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) d[r] = splat(error[r]);
  for (int32_t c = 0; c < k_dim; c += kLanes) {
    const VF grow = load(growth + c), key = load(k + c), query = load(q + c);
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      VF s = load(from + r * from_stride + c);
      s = s + grow * s;
      s = s + key * d[r];
      store(to + r * to_stride + c, s);
      acc[r] = acc[r] + query * s;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) sum[r] = acc[r];
}

// Calls f<n>(first row) for the rows of a block, four at once while there are so many.
template <class F>
inline void by_four(int32_t rows, F&& f) {
  int32_t r = 0;
  for (; r + 4 <= rows; r += 4) f.template operator()<4>(r);
  for (; r < rows; ++r) f.template operator()<1>(r);
}

// Token t on one block, whose rows are read from `from` and written to `to`.
template <bool ask>
inline void step_block(const GdnSteps& s, int32_t t, int32_t first, int32_t rows, const float* from,
                       int64_t from_stride, float* to) {
  const int64_t row = t * s.stride;
  const int64_t at = first / kKeyStep * s.panel_floats + int64_t{t} * kKeyStep;
  const auto add = [](VF a, VF b) { return a + b; };
  VF sum[2][kLanes];
  const auto sum_of = [&](int32_t r) { return sum[r / kLanes] + r % kLanes; };
  for (int32_t r = rows; r < kBlockRows; ++r) *sum_of(r) = VF{};
  by_four(rows, [&]<int n>(int32_t r) {
    predict<n, ask>(from + r * from_stride, from_stride, s.k_dim, s.decayed_k + row, sum_of(r));
  });
  alignas(64) float error[kBlockRows];
  for (int h = 0; h < 2; ++h)
    store(error + h * kLanes,
          s.beta[t] * (load(s.v + at + h * kLanes) - reduce_lanes(sum[h], add)));
  for (int32_t r = rows; r < kBlockRows; ++r) *sum_of(r) = VF{};
  by_four(rows, [&]<int n>(int32_t r) {
    update<n>(from + r * from_stride, from_stride, to + r * s.to_stride, s.to_stride, s.k_dim,
              s.growth + row, s.k + row, s.q + row, error + r, sum_of(r));
  });
  for (int h = 0; h < 2; ++h) store(s.out + at + h * kLanes, reduce_lanes(sum[h], add));
}

inline void gdn_steps(const GdnSteps& s) {
  for (int32_t first = 0; first < s.v_dim; first += kBlockRows) {
    const int32_t rows = s.v_dim - first < kBlockRows ? s.v_dim - first : kBlockRows;
    float* const to = s.to + first * s.to_stride;
    step_block<true>(s, 0, first, rows, s.from + first * s.from_stride, s.from_stride, to);
    for (int32_t t = 1; t < s.tokens; ++t)
      step_block<false>(s, t, first, rows, to, s.to_stride, to);
  }
}

}  // namespace attend::native::ATTEND_ISA
