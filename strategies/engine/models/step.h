#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "attend/tensor.h"
#include "strategies/engine/attention_backend.h"
#include "strategies/engine/models/rope.h"

namespace attend::engine {

// Memory that is kept between steps and grows with the largest.
class Buffer {
 public:
  TensorView get(int64_t rows, int64_t width, DType dtype = DType::kF32) {
    const int64_t bytes = rows * width * size_bytes(dtype);
    if (!memory_.view() || bytes > memory_.view().dim(0))
      memory_ = Tensor::empty(DType::kI8, {std::max<int64_t>(bytes, 1)});
    return contiguous(memory_.view().data, dtype, {rows, width});
  }

 private:
  Tensor memory_;
};

// What the layers of a step use one after the other.
struct Workspace {
  Buffer normed;     // [rows, hidden], what a block reads
  Buffer projected;  // the first products of a block, side by side
  Buffer q, k, v;    // [rows, heads x head_dim], where attention computes in another dtype
  Buffer mixed;      // [rows, width], what a block's last product reads
  Buffer added;      // [rows, hidden], what a block adds to the residual stream
  Buffer routed, scores;
  std::vector<int32_t> expert_rows, expert_first;  // moe.cc
  std::vector<int32_t> chosen;
  std::vector<float> chosen_weights, expert_weights;
};

// One step, as its layers see it.
struct Step {
  AttentionBackend& backend;
  Workspace& workspace;
  std::span<const int32_t> positions;
  std::span<const RotaryRows> rotary;
  DType compute = DType::kF32;
  bool batch_invariant = false;
};

// Columns [first, first + heads x width) of rows as heads: [rows, heads, width].
inline TensorView heads_of(const TensorView& x, int64_t first, int64_t heads, int64_t width) {
  TensorView view = x;
  view.data = static_cast<char*>(x.data) + first * size_bytes(x.dtype);
  view.rank = 3;
  view.shape = {x.dim(0), heads, width};
  view.stride = {x.step(0), width, 1};
  return view;
}

// Columns [first, first + width): [rows, width].
inline TensorView columns_of(const TensorView& x, int64_t first, int64_t width) {
  TensorView view = x;
  view.data = static_cast<char*>(x.data) + first * size_bytes(x.dtype);
  view.shape[1] = width;
  return view;
}

// Rows [first, first + count), whatever the rank.
inline TensorView rows_of(const TensorView& x, int64_t first, int64_t count) {
  TensorView view = x;
  view.data = static_cast<char*>(x.data) + first * x.step(0) * size_bytes(x.dtype);
  view.shape[0] = count;
  return view;
}

}  // namespace attend::engine
