#include "tests/support/element.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace attend::testing {
namespace {

// A binary float format: 1 sign bit, then exponent and mantissa.
struct Format {
  int bits;
  int mantissa_bits;
  int bias;
  double largest;
  bool
      infinities;  // the largest exponent stands for infinity and NaN alone; else one mantissa is NaN
  uint32_t sign() const { return uint32_t{1} << (bits - 1); }
  uint32_t mantissas() const { return (uint32_t{1} << mantissa_bits) - 1; }
};
constexpr Format kHalf = {16, 10, 15, 65504, true};
constexpr Format kBrain = {16, 7, 127, 0x1.FEp127, true};
constexpr Format kSingle = {32, 23, 127, 0x1.FFFFFEp127, true};
constexpr Format kE4M3 = {8, 3, 7, 448, false};
constexpr Format kE5M2 = {8, 2, 15, 57344, true};

Format format(DType dtype) {
  switch (dtype) {
    case DType::kF16: return kHalf;
    case DType::kBF16: return kBrain;
    case DType::kF8E4M3: return kE4M3;
    case DType::kF8E5M2: return kE5M2;
    default: return kSingle;
  }
}

// Formats of 8 bits are those of caches, which saturate; wider ones reach infinity.
double round_to_format(const Format& f, double x) {
  const double beyond = f.bits == 8 ? f.largest : std::numeric_limits<double>::infinity();
  if (x == 0 || std::isnan(x)) return x;
  if (std::isinf(x)) return std::copysign(beyond, x);
  const int exponent = std::max(std::ilogb(x), 1 - f.bias);  // subnormals share one exponent
  const double ulp = std::ldexp(1.0, exponent - f.mantissa_bits);
  const double rounded = std::nearbyint(x / ulp) * ulp;  // ties to even
  return std::abs(rounded) > f.largest ? std::copysign(beyond, x) : rounded;
}

double decode(const Format& f, uint32_t bits) {
  const double sign = bits & f.sign() ? -1 : 1;
  const uint32_t rest = bits & (f.sign() - 1);
  const auto mantissa = static_cast<int>(rest & f.mantissas());
  const auto exponent = static_cast<int>(rest >> f.mantissa_bits);
  const uint32_t last = (f.sign() - 1) & ~f.mantissas();  // the largest exponent, mantissa 0
  if (f.infinities ? rest > last : rest == f.sign() - 1)
    return std::numeric_limits<double>::quiet_NaN();
  if (f.infinities && rest == last) return sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - f.bias - f.mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << f.mantissa_bits), exponent - f.bias - f.mantissa_bits);
}

uint32_t encode(const Format& f, double x) {
  const uint32_t sign = std::signbit(x) ? f.sign() : 0;
  const uint32_t last = (f.sign() - 1) & ~f.mantissas();
  if (std::isnan(x)) return sign | last | (f.infinities ? (f.mantissas() + 1) / 2 : f.mantissas());
  const double r = std::abs(round_to_format(f, x));
  if (std::isinf(r)) return sign | last;
  if (r == 0) return sign;
  const int exponent = std::max(std::ilogb(r), 1 - f.bias);
  const int scaled = static_cast<int>(std::ldexp(r, f.mantissa_bits - exponent));  // exact
  // A normal number's leading bit carries into the exponent field; a subnormal has none.
  return sign | static_cast<uint32_t>(((exponent + f.bias - 1) << f.mantissa_bits) + scaled);
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
      return decode(format(dtype), bits);
    }
    case DType::kF8E4M3:
    case DType::kF8E5M2: return decode(format(dtype), *static_cast<const uint8_t*>(address));
    case DType::kI8: return read<int8_t>(address);
    case DType::kI32: return read<int32_t>(address);
    case DType::kI64: return read<int64_t>(address);
    default: return read<uint8_t>(address) != 0;
  }
}

void store(DType dtype, void* address, double value) {
  switch (dtype) {
    case DType::kF32: return write(address, static_cast<float>(value));
    case DType::kF16:
    case DType::kBF16: return write(address, static_cast<uint16_t>(encode(format(dtype), value)));
    case DType::kF8E4M3:
    case DType::kF8E5M2: return write(address, static_cast<uint8_t>(encode(format(dtype), value)));
    case DType::kI8:
      return write(address, static_cast<int8_t>(std::isnan(value) ? -128
                                                                  : std::nearbyint(std::clamp(
                                                                        value, -128.0, 127.0))));
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
