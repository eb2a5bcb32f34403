#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "attend/tensor.h"

// The 256 values of an 8-bit cache element, from the definition of its format, and the code that a
// quotient rounds to: the nearest of all of them.
namespace attend::testing {

// Sign, `exponents` bits of exponent with its bias, `mantissas` bits after the point. The largest
// exponent holds infinities and NaN in e5m2, and in e4m3 one NaN alone (OCP 8-bit floating point).
inline double value_of_code(DType dtype, int code) {
  if (dtype == DType::kI8) return code < 128 ? code : code - 256;
  const int mantissas = dtype == DType::kF8E4M3 ? 3 : 2, bias = dtype == DType::kF8E4M3 ? 7 : 15;
  const int exponent = (code & 0x7f) >> mantissas, mantissa = code & ((1 << mantissas) - 1);
  const double sign = code & 0x80 ? -1 : 1;
  if (dtype == DType::kF8E4M3 && (code & 0x7f) == 0x7f) return std::nan("");
  if (dtype == DType::kF8E5M2 && exponent == 31)
    return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissas);
  return sign * std::ldexp((1 << mantissas) + mantissa, exponent - bias - mantissas);
}

// Whether a code is a NaN of its type.
inline bool is_nan_code(DType dtype, int code) { return std::isnan(value_of_code(dtype, code)); }

class CacheCodes {
 public:
  explicit CacheCodes(DType dtype) : dtype_(dtype) {
    for (int code = 0; code < 256; ++code)
      if (const double x = value_of_code(dtype, code); std::isfinite(x) && !(x == 0 && code != 0))
        finite_.emplace_back(x, code);
    std::sort(finite_.begin(), finite_.end());
  }
  // The code of x / descale, ties to the even code, infinities to the largest finite value. Middles
  // have a few bits and f32 has 24: middle * descale is exact in double. x and descale are f32.
  int nearest(double x, double descale) const {
    if (descale < 0) return nearest(-x, -descale);
    size_t n = 0;
    for (; n + 1 < finite_.size(); ++n) {
      const double middle = (finite_[n].first + finite_[n + 1].first) / 2 * descale;
      if (x < middle) break;
      if (x == middle && finite_[n].second % 2 == 0) break;
    }
    const int code = finite_[n].second;
    const bool minus_zero = dtype_ != DType::kI8 && code == 0 && std::signbit(x);
    return minus_zero ? 0x80 : code;
  }
  const std::vector<std::pair<double, int>>& finite() const { return finite_; }

 private:
  DType dtype_;
  std::vector<std::pair<double, int>> finite_;  // (value, code), ascending; one zero
};

}  // namespace attend::testing
