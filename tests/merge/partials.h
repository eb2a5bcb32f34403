#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "attend/operator.h"
#include "tests/support/element.h"
#include "tests/support/memory.h"
#include "tests/support/noise.h"

// Two partial results in memory of their own, and what joining them means in float64.
namespace attend::testing {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline const double kNaN = std::nan("");

// A tensor in a block whose bytes that no element has stay as they were.
struct Placed {
  std::unique_ptr<Block> block;
  TensorView view;
  std::vector<std::byte> before;  // the block as it was filled

  Placed() = default;
  Placed(DType dtype, const std::vector<int64_t>& shape, Strides strides, int position, int head) {
    const Placement p = place(shape, strides, position, head, false);
    const auto bytes = static_cast<size_t>(std::max<int64_t>(p.elements, 1) * size_bytes(dtype));
    block = std::make_unique<Block>(bytes);
    for (size_t n = 0; n < bytes; n += static_cast<size_t>(size_bytes(dtype)))
      store(dtype, block->data() + n, kNaN);
    view = view_of(block->data(), dtype, shape, p);
    remember();
  }
  void remember() { before.assign(block->data(), block->data() + block->size()); }
  bool untouched() const { return std::memcmp(before.data(), block->data(), before.size()) == 0; }
  // Whether every byte outside the view's elements is as remember() saw it.
  bool gaps_untouched() const {
    std::vector<bool> own(block->size());
    for_each([&](const std::vector<int64_t>&, std::byte* at) {
      for (int64_t b = 0; b < size_bytes(view.dtype); ++b)
        own[static_cast<size_t>(at - block->data() + b)] = true;
    });
    for (size_t n = 0; n < own.size(); ++n)
      if (!own[n] && block->data()[n] != before[n]) return false;
    return true;
  }
  // f(index, address) for every element, row-major.
  template <class F>
  void for_each(F&& f) const {
    std::vector<int64_t> index(static_cast<size_t>(view.rank));
    for (int64_t n = 0; n < view.num_elements(); ++n) {
      int64_t rest = n, offset = 0;
      for (int d = view.rank - 1; d >= 0; --d) {
        index[static_cast<size_t>(d)] = rest % view.dim(d);
        rest /= view.dim(d);
        offset += index[static_cast<size_t>(d)] * view.step(d);
      }
      f(index, static_cast<std::byte*>(view.data) + offset * size_bytes(view.dtype));
    }
  }
  void fill(uint64_t seed, double factor = 1) {
    uint64_t n = 0;
    for_each([&](const std::vector<int64_t>&, std::byte* at) {
      store(view.dtype, at, factor * normal(hash(seed, n++)));
    });
    remember();
  }
  std::vector<double> all() const {
    std::vector<double> values;
    for_each([&](const std::vector<int64_t>&, std::byte* at) {
      values.push_back(load(view.dtype, at));
    });
    return values;
  }
};

// One row of a merge in float64. An empty part has lse -inf.
struct Joined {
  double factor_a, factor_b, lse;
};
inline Joined join(double lse_a, double lse_b) {
  if (lse_a == -kInfinity && lse_b == -kInfinity) return {0, 0, -kInfinity};
  const double top = std::max(lse_a, lse_b);
  const double lse = top + std::log(std::exp(lse_a - top) + std::exp(lse_b - top));
  return {std::exp(lse_a - lse), std::exp(lse_b - lse), lse};
}

}  // namespace attend::testing
