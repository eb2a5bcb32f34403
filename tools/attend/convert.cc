#include "tools/attend/convert.h"

#include <cmath>
#include <limits>
#include <vector>

#include "attend/error.h"
#include "tests/support/element.h"

namespace attend::cli {
namespace {

// e4m3 (no infinities, one NaN) and e5m2 (IEEE-like).
double decode8(DType dtype, uint8_t bits) {
  const bool e4m3 = dtype == DType::kF8E4M3;
  const int mantissa_bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
  const int exponent = (bits & 0x7f) >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x80 ? -1 : 1;
  if (e4m3 ? (bits & 0x7f) == 0x7f : exponent == 31 && mantissa != 0)
    return std::numeric_limits<double>::quiet_NaN();
  if (!e4m3 && exponent == 31) return sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

}  // namespace

double value_at(DType dtype, const void* address) {
  switch (dtype) {
    case DType::kF8E4M3:
    case DType::kF8E5M2: return decode8(dtype, *static_cast<const uint8_t*>(address));
    case DType::kI8: return *static_cast<const int8_t*>(address);
    default: return testing::load(dtype, address);
  }
}

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
