#pragma once
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "attend/tensor.h"

namespace attend::testing {

// A copy of a tensor whose elements lie many GiB apart: address space is reserved, and memory backs
// only the pages that hold an element. Everything between faults.
class FarTensor {
 public:
  // stride: in elements, any sign. shape: of the view, where that is larger than from's. places:
  // where the view has index n of from's first dimension; empty = at n.
  FarTensor(const TensorView& from, const std::vector<int64_t>& stride,
            const std::vector<int64_t>& shape = {}, const std::vector<int64_t>& places = {});
  ~FarTensor();
  FarTensor(const FarTensor&) = delete;
  FarTensor& operator=(const FarTensor&) = delete;

  const TensorView& view() const { return view_; }
  // False where this process cannot have so much address space.
  explicit operator bool() const { return base_ != nullptr; }
  // Whether its elements are those of `other`, a view of from's shape, bit for bit.
  bool equals(const TensorView& other) const;

 private:
  std::byte* element(const TensorView& from, int64_t n, bool far) const;

  std::byte* base_ = nullptr;
  size_t bytes_ = 0;
  TensorView view_;
  std::vector<int64_t> places_;
};

}  // namespace attend::testing
