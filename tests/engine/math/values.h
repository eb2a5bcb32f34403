#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "attend/tensor.h"

// Rows with gaps, values of the narrow types and their rounding, written apart from the library.
namespace attend::testing {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline double bf16_value(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}
// The nearest bf16, ties to even, by comparison of candidates.
inline uint16_t nearest_bf16(float x) {
  const auto low = static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16);
  const auto high = static_cast<uint16_t>(low + 1);
  const double down = std::abs(x - bf16_value(low)), up = std::abs(bf16_value(high) - x);
  if (down == up) return low % 2 == 0 ? low : high;
  return down < up ? low : high;
}
inline double f16_value(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const double size =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (h & 0x8000) != 0 ? -size : size;
}

// [rows, width] with `gap` elements of NaN between rows, in any of the float types.
struct Matrix {
  int64_t rows, width, stride;
  DType dtype;
  std::vector<std::byte> memory;

  Matrix(int64_t r, int64_t w, int64_t gap = 0, DType type = DType::kF32)
      : rows(r),
        width(w),
        stride(w + gap),
        dtype(type),
        memory(static_cast<size_t>((r * stride + 1) * size_bytes(type)), std::byte{0xff}) {}

  Matrix& random(uint32_t seed, float size = 1.0f) {
    std::mt19937 bits(seed);
    std::normal_distribution<float> normal(0.0f, size);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < width; ++j) set(i, j, normal(bits));
    return *this;
  }
  // f16 takes bits that lie near the value: which ones does not matter.
  void set(int64_t i, int64_t j, float x) {
    std::byte* at = memory.data() + (i * stride + j) * size_bytes(dtype);
    if (dtype == DType::kF32) {
      std::memcpy(at, &x, 4);
      return;
    }
    uint16_t half = nearest_bf16(x);
    if (dtype == DType::kF16) {
      const int exponent = std::min(30, std::max(0, std::ilogb(std::abs(x) + 1e-9f) + 15));
      half = static_cast<uint16_t>((x < 0 ? 0x8000 : 0) | exponent << 10 | (half * 37 & 1023));
    }
    std::memcpy(at, &half, 2);
  }
  double at(int64_t i, int64_t j) const {
    const std::byte* p = memory.data() + (i * stride + j) * size_bytes(dtype);
    if (dtype == DType::kF32) {
      float x;
      std::memcpy(&x, p, 4);
      return x;
    }
    uint16_t half;
    std::memcpy(&half, p, 2);
    return dtype == DType::kF16 ? f16_value(half) : bf16_value(half);
  }
  TensorView view() {
    TensorView v = contiguous(memory.data(), dtype, {rows, width});
    v.stride[0] = stride;
    return v;
  }
  std::vector<std::byte> row_bytes(int64_t i) const {
    const auto* p = memory.data() + i * stride * size_bytes(dtype);
    return {p, p + width * size_bytes(dtype)};
  }
  // Whether everything between the rows is as it was made.
  bool gaps_untouched() const {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t b = (i * stride + width) * size_bytes(dtype);
           b < (i + 1) * stride * size_bytes(dtype); ++b)
        if (memory[static_cast<size_t>(b)] != std::byte{0xff}) return false;
    return true;
  }
};

}  // namespace attend::testing
