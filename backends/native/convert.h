#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ops/common/element.h"

// Rows between f32 and the narrower types, by the conversions of ops/common/element.h. The vector
// forms are in isa/.
namespace attend::native {

// n elements that are `step` apart. Unit steps of the float types have loops of their own, which
// the compiler turns into vectors.
inline void load_row(const std::byte* from, int64_t step, DType dtype, int64_t n, float* to) {
  if (step == 1 && dtype == DType::kF32) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  } else if (step == 1 && dtype == DType::kBF16) {
    for (int64_t i = 0; i < n; ++i) to[i] = bf16_to_f32(load_as<uint16_t>(from + 2 * i));
  } else if (step == 1 && dtype == DType::kF16) {
    for (int64_t i = 0; i < n; ++i) to[i] = f16_to_f32(load_as<uint16_t>(from + 2 * i));
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = load(from + i * step * size_bytes(dtype), dtype);
  }
}

inline void store_row(const float* from, int64_t n, std::byte* to, int64_t step, DType dtype) {
  const auto put = [to](int64_t i, auto bits) {
    std::memcpy(to + i * static_cast<int64_t>(sizeof bits), &bits, sizeof bits);
  };
  if (step == 1 && dtype == DType::kF32) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  } else if (step == 1 && dtype == DType::kBF16) {
    for (int64_t i = 0; i < n; ++i) put(i, f32_to_bf16(from[i]));
  } else if (step == 1 && dtype == DType::kF16) {
    for (int64_t i = 0; i < n; ++i) put(i, f32_to_f16(from[i]));
  } else {
    for (int64_t i = 0; i < n; ++i) store(to + i * step * size_bytes(dtype), dtype, from[i]);
  }
}

}  // namespace attend::native
