#pragma once
#include <string>

#include "attend/tensor.h"

namespace attend::cli {

// One element as a double, fp8 included.
double value_at(DType dtype, const void* address);

// Every element rounded to nearest even; row-major tensors on native.
Tensor convert(const Tensor& tensor, DType dtype);

//   errors   kInvalidArgument listing the words
DType dtype_from(const std::string& word);

struct Summary {  // of the finite elements
  double mean = 0, rms = 0, least = 0, most = 0;
  int64_t elements = 0, nan = 0, infinite = 0;
};
Summary summarise(const TensorView& row_major);

}  // namespace attend::cli
