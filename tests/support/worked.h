#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "attend/attention_params.h"
#include "tests/support/element.h"

namespace attend::testing {

// A tensor that owns its memory, filled from doubles.
struct Values {
  std::vector<std::byte> memory;
  TensorView view;

  Values() = default;
  Values(DType dtype, std::initializer_list<int64_t> shape, const std::vector<double>& values) {
    memory.resize(values.size() * static_cast<size_t>(size_bytes(dtype)));
    view = contiguous(memory.data(), dtype, shape);
    for (size_t n = 0; n < values.size(); ++n) {
      store(dtype, memory.data() + n * static_cast<size_t>(size_bytes(dtype)), values[n]);
    }
  }
  Values(Values&&) = default;
  Values& operator=(Values&&) = default;
  operator const TensorView&() const { return view; }

  std::vector<double> all() const {  // row-major
    std::vector<double> values;
    const auto bytes = static_cast<size_t>(size_bytes(view.dtype));
    for (size_t n = 0; n < memory.size(); n += bytes)
      values.push_back(load(view.dtype, memory.data() + n));
    return values;
  }
};

// The fill rule of the worked oracles: sin(0.7 n + phase) at row-major index n.
inline std::vector<double> sine_fill(int64_t n, double phase, double factor = 1) {
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i)
    values.push_back(factor * std::sin(0.7 * static_cast<double>(i) + phase));
  return values;
}

// A worked call: head_dim 2, phases q 0.1, k 0.5, v 0.9; outputs are NaN before it.
struct Worked {
  Values q, k, v, out, lse, weights, scores;
  AttentionArgs args;
  AttentionParams params;

  Worked(int64_t rows, int64_t keys, int64_t heads = 1, int64_t kv_heads = 1,
         DType dtype = DType::kF32, int64_t batch = 1, double qk_factor = 1)
      : q(dtype, {batch, rows, heads, 2}, sine_fill(batch * rows * heads * 2, 0.1, qk_factor)),
        k(dtype, {batch, keys, kv_heads, 2},
          sine_fill(batch * keys * kv_heads * 2, 0.5, qk_factor)),
        v(dtype, {batch, keys, kv_heads, 2}, sine_fill(batch * keys * kv_heads * 2, 0.9)),
        out(dtype, {batch, rows, heads, 2}, nothing(batch * rows * heads * 2)),
        lse(DType::kF32, {batch, heads, rows}, nothing(batch * heads * rows)) {
    args.q = q;
    args.k = k;
    args.v = v;
    args.out = out;
    args.lse = lse;
  }
  void ask_for_weights(DType dtype = DType::kF32) {
    weights = Values(dtype, {args.q.dim(0), args.q.dim(2), args.q.dim(1), args.k.dim(1)},
                     nothing(pairs()));
    args.weights = weights;
  }
  void ask_for_scores(ScoresStage stage) {
    scores = Values(DType::kF32, {args.q.dim(0), args.q.dim(2), args.q.dim(1), args.k.dim(1)},
                    nothing(pairs()));
    args.scores = scores;
    params.scores_stage = stage;
  }
  static std::vector<double> nothing(int64_t n) {
    return std::vector<double>(static_cast<size_t>(n), std::nan(""));
  }
  int64_t pairs() const { return args.q.dim(0) * args.q.dim(2) * args.q.dim(1) * args.k.dim(1); }
};

}  // namespace attend::testing
