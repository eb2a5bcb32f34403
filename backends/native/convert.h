#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "attend/tensor.h"

// One element at a time between f32 and the 16-bit types, rounding to nearest even. The vector
// forms are in isa/.
namespace attend::native {

inline float bf16_to_f32(uint16_t x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
}

inline uint16_t f32_to_bf16(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((u >> 16) | 0x40u);  // NaN stays NaN
  u += 0x7fffu + ((u >> 16) & 1u);
  return static_cast<uint16_t>(u >> 16);
}

inline float f16_to_f32(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16, magnitude = x & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // Exponents are 112 apart. A subnormal is read as 2^-14 + itself, so that no f32 subnormal
  // arises, which a program that flushes them would lose.
  const float value = magnitude < 0x400u
                          ? std::bit_cast<float>(0x38800000u + (magnitude << 13)) - 0x1p-14f
                          : std::bit_cast<float>(0x38000000u + (magnitude << 13));
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

inline uint16_t f32_to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x), sign = (u >> 16) & 0x8000u,
                 magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u)
    return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to 65536 or more
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 lets the FPU round at the right place
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

template <class T>
T load_as(const std::byte* p) {
  T x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

// An element of q, k, v or a bias.
inline float load(const std::byte* p, DType dtype) {
  switch (dtype) {
    case DType::kF16: return f16_to_f32(load_as<uint16_t>(p));
    case DType::kBF16: return bf16_to_f32(load_as<uint16_t>(p));
    default: return load_as<float>(p);
  }
}

inline void store(std::byte* p, DType dtype, float x) {
  const auto put = [p](auto bits) { std::memcpy(p, &bits, sizeof bits); };
  switch (dtype) {
    case DType::kF16: return put(f32_to_f16(x));
    case DType::kBF16: return put(f32_to_bf16(x));
    default: return put(x);
  }
}

}  // namespace attend::native
