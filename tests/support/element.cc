#include "tests/support/element.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace attend::testing {
namespace {

// A binary float format: 1 sign bit, then exponent and mantissa.
struct Format {
  int mantissa_bits;
  int bias;
  int largest_exponent;
};
constexpr Format kHalf = {10, 15, 15};
constexpr Format kBrain = {7, 127, 127};
constexpr Format kSingle = {23, 127, 127};

Format format(DType dtype) {
  return dtype == DType::kF16 ? kHalf : dtype == DType::kBF16 ? kBrain : kSingle;
}

double round_to_format(const Format& f, double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), 1 - f.bias);  // subnormals share one exponent
  const double ulp = std::ldexp(1.0, exponent - f.mantissa_bits);
  const double rounded = std::nearbyint(x / ulp) * ulp;  // ties to even
  const double largest =
      std::ldexp(2.0, f.largest_exponent) - std::ldexp(1.0, f.largest_exponent - f.mantissa_bits);
  return std::abs(rounded) > largest ? std::copysign(std::numeric_limits<double>::infinity(), x)
                                     : rounded;
}

double decode16(const Format& f, uint16_t bits) {
  const int mantissa = bits & ((1 << f.mantissa_bits) - 1);
  const int exponent = (bits & 0x7fff) >> f.mantissa_bits;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (0x7fff >> f.mantissa_bits)) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - f.bias - f.mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << f.mantissa_bits), exponent - f.bias - f.mantissa_bits);
}

uint16_t encode16(const Format& f, double x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const uint16_t infinity = static_cast<uint16_t>((0x7fff >> f.mantissa_bits) << f.mantissa_bits);
  if (std::isnan(x)) return static_cast<uint16_t>(sign | infinity | (1 << (f.mantissa_bits - 1)));
  const double r = std::abs(round_to_format(f, x));
  if (std::isinf(r)) return sign | infinity;
  if (r == 0) return sign;
  const int exponent = std::max(std::ilogb(r), 1 - f.bias);
  const int scaled = static_cast<int>(std::ldexp(r, f.mantissa_bits - exponent));  // exact
  // A normal number's leading bit carries into the exponent field; a subnormal has none.
  return static_cast<uint16_t>(sign | (((exponent + f.bias - 1) << f.mantissa_bits) + scaled));
}

template <class T>
double read(const void* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return static_cast<double>(value);
}

template <class T>
void write(void* address, T value) {
  std::memcpy(address, &value, sizeof value);
}

}  // namespace

double load(DType dtype, const void* address) {
  switch (dtype) {
    case DType::kF32: return read<float>(address);
    case DType::kF16:
    case DType::kBF16: {
      uint16_t bits;
      std::memcpy(&bits, address, sizeof bits);
      return decode16(format(dtype), bits);
    }
    case DType::kI32: return read<int32_t>(address);
    case DType::kI64: return read<int64_t>(address);
    default: return read<uint8_t>(address) != 0;
  }
}

void store(DType dtype, void* address, double value) {
  switch (dtype) {
    case DType::kF32: return write(address, static_cast<float>(value));
    case DType::kF16:
    case DType::kBF16: return write(address, encode16(format(dtype), value));
    case DType::kI32: return write(address, static_cast<int32_t>(value));
    case DType::kI64: return write(address, static_cast<int64_t>(value));
    default: return write(address, static_cast<uint8_t>(value != 0));
  }
}

double round_to(DType dtype, double value) { return round_to_format(format(dtype), value); }

double unit_roundoff(DType dtype) { return std::ldexp(1.0, -1 - format(dtype).mantissa_bits); }

double least_normal(DType dtype) { return std::ldexp(1.0, 1 - format(dtype).bias); }

double load_broadcast(const TensorView& view, int64_t b, int64_t h, int64_t i, int64_t j) {
  const int64_t index[] = {b, h, i, j};
  int64_t offset = 0;
  for (int d = 0; d < view.rank; ++d) {
    if (view.dim(d) != 1) offset += index[4 - view.rank + d] * view.step(d);
  }
  return load(view.dtype, static_cast<const char*>(view.data) + offset * size_bytes(view.dtype));
}

}  // namespace attend::testing
