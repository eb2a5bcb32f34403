#include "tests/support/memory.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace attend::testing {

Placement place(const std::vector<int64_t>& shape, Strides strides, int position, int head,
                bool may_broadcast) {
  const auto rank = static_cast<int>(shape.size());
  std::vector<int> order(shape.size());  // outermost first
  std::iota(order.begin(), order.end(), 0);
  if (strides == Strides::kHeadsFirst && head > position && position >= 0) {
    std::swap(order[static_cast<size_t>(position)], order[static_cast<size_t>(head)]);
  }
  Placement p;
  p.stride.assign(shape.size(), 0);
  int64_t step = strides == Strides::kLastStep2 ? 2 : 1;
  for (int n = rank - 1; n >= 0; --n) {
    const auto dim = static_cast<size_t>(order[static_cast<size_t>(n)]);
    const bool shared = strides == Strides::kBroadcast && may_broadcast &&
                        static_cast<int>(dim) != position && static_cast<int>(dim) != rank - 1;
    if (shared) continue;
    p.stride[dim] = step;
    step *= std::max<int64_t>(shape[dim], 1);
    if (n == rank - 1 && strides == Strides::kOddBase) step += 5;
  }
  if (strides == Strides::kOddBase) p.base = 1;
  int64_t last = 0;
  for (int dim = 0; dim < rank; ++dim) {
    const auto d = static_cast<size_t>(dim);
    const int64_t reach = p.stride[d] * std::max<int64_t>(shape[d] - 1, 0);
    last += reach;
    if (strides == Strides::kNegative && (dim == position || dim == rank - 1)) {
      p.stride[d] = -p.stride[d];
      p.base += reach;
    }
  }
  const bool empty = std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n == 0; });
  p.elements = empty ? 0 : last + 1 + (strides == Strides::kOddBase ? 1 : 0);
  return p;
}

TensorView view_of(std::byte* data, DType dtype, const std::vector<int64_t>& shape,
                   const Placement& p) {
  TensorView view;
  view.data = p.elements == 0 ? nullptr : data + p.base * size_bytes(dtype);
  view.rank = static_cast<int32_t>(shape.size());
  view.dtype = dtype;
  std::copy(shape.begin(), shape.end(), view.shape.begin());
  std::copy(p.stride.begin(), p.stride.end(), view.stride.begin());
  return view;
}

}  // namespace attend::testing
