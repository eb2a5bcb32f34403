#include "tools/attend/convert.h"

#include <cmath>
#include <vector>

#include "attend/error.h"
#include "tests/support/element.h"

namespace attend::cli {
double value_at(DType dtype, const void* address) { return testing::load(dtype, address); }

Tensor convert(const Tensor& tensor, DType dtype) {
  const TensorView& from = tensor.view();
  Tensor result = Tensor::empty(
      dtype, std::vector<int64_t>(from.shape.begin(), from.shape.begin() + from.rank));
  const int64_t in = size_bytes(from.dtype), out = size_bytes(dtype);
  for (int64_t n = 0; n < from.num_elements(); ++n)
    testing::store(dtype, result.data<char>() + n * out,
                   value_at(from.dtype, tensor.data<char>() + n * in));
  return result;
}

DType dtype_from(const std::string& word) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    if (word == name(dtype)) return dtype;
  throw Error(ErrorCode::kInvalidArgument, "dtype is '" + word + "', expected f32, f16 or bf16");
}

Summary summarise(const TensorView& t) {
  Summary s;
  s.elements = t.num_elements();
  double sum = 0, squares = 0;
  int64_t finite = 0;
  for (int64_t n = 0; n < s.elements; ++n) {
    const double x = value_at(t.dtype, static_cast<const char*>(t.data) + n * size_bytes(t.dtype));
    if (std::isnan(x))
      ++s.nan;
    else if (std::isinf(x))
      ++s.infinite;
    else {
      s.least = finite == 0 ? x : std::min(s.least, x);
      s.most = finite == 0 ? x : std::max(s.most, x);
      sum += x;
      squares += x * x;
      ++finite;
    }
  }
  if (finite > 0) {
    s.mean = sum / static_cast<double>(finite);
    s.rms = std::sqrt(squares / static_cast<double>(finite));
  }
  return s;
}

}  // namespace attend::cli
