#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "attend/tensor.h"

namespace attend::python {

// attend.Tensor: memory of the library's own, for callers whose arrays cannot be made from here.
struct OwnTensor {
  std::shared_ptr<Tensor> tensor;
  const TensorView& view() const { return tensor->view(); }
};

OwnTensor make_own(const std::vector<int64_t>& shape, DType dtype, Device device,
                   std::optional<float> fill);

const char* dtype_name(DType dtype);  // "bfloat16", as NumPy and PyTorch spell it

}  // namespace attend::python
