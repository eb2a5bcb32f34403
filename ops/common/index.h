#pragma once
#include <cstddef>
#include <cstdint>

#include "attend/tensor.h"
#include "ops/common/portable.h"

namespace attend {

ATTEND_HD int64_t wide_or_narrow(const void* data, bool wide, int64_t at) {
  return wide ? static_cast<const int64_t*>(data)[at] : static_cast<const int32_t*>(data)[at];
}

// Element i of an i32 or i64 vector.
ATTEND_HD int64_t index_at(const TensorView& t, int64_t i) {
  return wide_or_narrow(t.data, t.dtype == DType::kI64, i * t.stride[0]);
}

// Rank 1 of i32 or i64: what a device keeps in registers where a TensorView would not fit.
struct IndexVector {
  const std::byte* data = nullptr;
  int64_t stride = 0;
  bool wide = false;  // i64

  ATTEND_HD explicit operator bool() const { return data != nullptr; }
};
ATTEND_HD int64_t index_at(const IndexVector& v, int64_t i) {
  return wide_or_narrow(v.data, v.wide, i * v.stride);
}

// Length b of a vector of cumulative lengths. Asked before contents are checked, too: whatever
// stands there must not overflow.
ATTEND_HD int64_t length_at(const TensorView& cu, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(index_at(cu, b + 1)) -
                              static_cast<uint64_t>(index_at(cu, b)));
}

}  // namespace attend
