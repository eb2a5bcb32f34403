#pragma once
#include <cstddef>
#include <cstdint>

#include "attend/tensor.h"
#include "ops/common/portable.h"

namespace attend {

// Element i of an i32 or i64 vector.
ATTEND_HD int64_t index_at(const TensorView& t, int64_t i) {
  const int64_t at = i * t.stride[0];
  return t.dtype == DType::kI32 ? static_cast<const int32_t*>(t.data)[at]
                                : static_cast<const int64_t*>(t.data)[at];
}

// Length b of a vector of cumulative lengths. Asked before contents are checked, too: whatever
// stands there must not overflow.
ATTEND_HD int64_t length_at(const TensorView& cu, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(index_at(cu, b + 1)) -
                              static_cast<uint64_t>(index_at(cu, b)));
}

}  // namespace attend
