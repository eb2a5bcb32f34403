#pragma once
// Which request a row of packed rows belongs to.
#include "backends/gpu/device/thread.h"
#include "ops/common/index.h"

namespace attend::gpu {

// By search in cumulative lengths; batch for a row behind all requests. `skip` may be null, else it
// names requests with bad indices, whose rows belong to nobody: lengths need not rise then, and
// requests are tried one by one.
ATTEND_DEVICE int64_t request_of(const TensorView& cu, int64_t batch, const uint8_t* skip,
                                 int64_t row) {
  if (skip) {
    for (int64_t b = 0; b < batch; ++b)
      if (skip[b] == 0 && index_at(cu, b) <= row && row < index_at(cu, b + 1)) return b;
    return batch;
  }
  int64_t low = 0, high = batch + 1;  // cu[low] <= row < cu[high]
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (index_at(cu, middle) <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

}  // namespace attend::gpu
