#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "attend/attend.h"
#include "tests/support/thrown.h"

namespace attend::testing {

// A small f32 call: q is zero, so that every key weighs the same and out is the mean of v, whatever
// computes it. Each operator gets it in a form that it takes: decode one row, paged two pages of two
// keys in reverse order, splash a mask that keeps all.
struct MeanCall {
  static constexpr int64_t kRows = 3, kKeys = 4, kHeads = 2, kDim = 8;
  std::vector<float> q = std::vector<float>(kRows * kHeads * kDim, 0.0f);
  std::vector<float> k = std::vector<float>(kKeys * kHeads * kDim, 0.5f);
  std::vector<float> v = std::vector<float>(kKeys * kHeads * kDim);
  std::vector<float> out = std::vector<float>(kRows * kHeads * kDim, -77.0f);
  std::array<int32_t, 2> table = {1, 0};
  std::array<int32_t, 1> keys_in_use = {kKeys};
  std::array<bool, kKeys> keep = {true, true, true, true};
  int64_t rows = kRows;
  AttentionArgs args;
  AttentionParams params;

  explicit MeanCall(Device device = {}) : MeanCall(OpId::kFlash, device) {}
  // On another device than native the views say so and still hold host addresses: for calls that
  // are refused.
  explicit MeanCall(OpId op, Device device = {}) : rows(op == OpId::kDecode ? 1 : kRows) {
    for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i * i % 11);
    const bool paged = op == OpId::kPaged;
    const int64_t pages = paged ? 2 : 1, length = kKeys / pages;
    args.q = contiguous(q.data(), DType::kF32, {1, rows, kHeads, kDim}, device);
    args.k = contiguous(k.data(), DType::kF32, {pages, length, kHeads, kDim}, device);
    args.v = contiguous(v.data(), DType::kF32, {pages, length, kHeads, kDim}, device);
    args.out = contiguous(out.data(), DType::kF32, {1, rows, kHeads, kDim}, device);
    if (paged) {
      args.seq.block_table = contiguous(table.data(), DType::kI32, {1, 2}, device);
      args.seq.seqused_k = contiguous(keys_in_use.data(), DType::kI32, {1}, device);
    }
    if (op == OpId::kSplash)
      params.mask.keep = contiguous(keep.data(), DType::kBool, {kKeys}, device);
  }
  MeanCall(const MeanCall&) = delete;

  float mean(int64_t head, int64_t e) const {
    float sum = 0;
    for (int64_t j = 0; j < kKeys; ++j)
      sum += v[static_cast<size_t>((j * kHeads + head) * kDim + e)];
    return sum / kKeys;
  }
  bool untouched() const {
    for (float x : out)
      if (x != -77.0f) return false;
    return true;
  }
};

}  // namespace attend::testing
