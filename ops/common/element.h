#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include "attend/tensor.h"
#include "ops/common/portable.h"

// One element at a time between f32 and the narrower types, rounding to nearest even: the same bits
// on every device. Vector forms are the backends' own.
namespace attend {

ATTEND_HD float bf16_to_f32(uint16_t x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
}

ATTEND_HD uint16_t f32_to_bf16(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((u >> 16) | 0x40u);  // NaN stays NaN
  u += 0x7fffu + ((u >> 16) & 1u);
  return static_cast<uint16_t>(u >> 16);
}

// By a mask, so that no branch is left: loops over rows become vectors.
ATTEND_HD uint32_t select(bool condition, uint32_t a, uint32_t b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (a & mask) | (b & ~mask);
}

ATTEND_HD float f16_to_f32(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16, magnitude = x & 0x7fffu;
  // Subnormals are multiples of 2^-24; no f32 subnormal arises, which a program that flushes them
  // would lose. Other exponents are 112 apart, those of infinities and NaN 224.
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t normal =
      (magnitude << 13) + select(magnitude >= 0x7c00u, 0x70000000u, 0x38000000u);
  const uint32_t bits = select(magnitude < 0x400u, std::bit_cast<uint32_t>(subnormal), normal);
  return std::bit_cast<float>(sign | bits);
}

ATTEND_HD uint16_t f32_to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x), sign = (u >> 16) & 0x8000u,
                 magnitude = u & 0x7fffffffu;
  // Subnormal: adding 0.5 lets the FPU round at the right place.
  const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
  const uint32_t subnormal = std::bit_cast<uint32_t>(shifted) - 0x3f000000u;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  uint32_t bits = select(magnitude < 0x38800000u, subnormal, normal);
  bits = select(magnitude >= 0x477ff000u, 0x7c00u, bits);  // rounds to 65536 or more
  bits = select(magnitude > 0x7f800000u, 0x7e00u, bits);
  return static_cast<uint16_t>(sign | bits);
}

// fp8 as the OCP tables have it: e4m3 without infinities (0x7f is NaN, 448 the largest), e5m2 with
// them. Encoding saturates, infinities included, to the largest finite value; NaN stays NaN. It
// takes a double, so that a quotient of two f32 is rounded once.
ATTEND_HD float f8_e4m3_to_f32(uint8_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x80u) << 24, magnitude = x & 0x7fu;
  const float value = magnitude == 0x7fu  ? __builtin_nanf("")
                      : magnitude < 0x08u ? static_cast<float>(magnitude) * 0x1p-9f
                                          : std::bit_cast<float>((magnitude << 20) + 0x3c000000u);
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

ATTEND_HD float f8_e5m2_to_f32(uint8_t x) {  // the upper half of an f16
  return f16_to_f32(static_cast<uint16_t>(x << 8));
}

// mantissa = bits after the point, bias = of the exponent, largest = code of the largest finite.
template <int mantissa, int bias, uint8_t largest>
ATTEND_HD uint8_t encode_f8(double x) {
  const uint64_t u = std::bit_cast<uint64_t>(x), magnitude = u & 0x7fffffffffffffffu;
  const auto sign = static_cast<uint8_t>(u >> 63 << 7);
  if (magnitude > 0x7ff0000000000000u) return static_cast<uint8_t>(sign | 0x7fu);
  constexpr int kDrop = 52 - mantissa;
  if (magnitude < static_cast<uint64_t>(1024 - bias) << 52) {
    // Subnormal: a sum whose last place is the smallest step lets the FPU round there.
    constexpr double kSteps = static_cast<double>(uint64_t{1} << (53 - bias - mantissa));
    const double sum = std::bit_cast<double>(magnitude) + kSteps;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint64_t>(sum) & 0xffu));
  }
  const uint64_t rounded =
      magnitude + ((uint64_t{1} << (kDrop - 1)) - 1) + ((magnitude >> kDrop) & 1u);
  const uint64_t code = (rounded >> kDrop) - (static_cast<uint64_t>(1023 - bias) << mantissa);
  return static_cast<uint8_t>(sign | (code > largest ? largest : code));
}

ATTEND_HD uint8_t f8_e4m3_from(double x) { return encode_f8<3, 7, 0x7e>(x); }
ATTEND_HD uint8_t f8_e5m2_from(double x) { return encode_f8<2, 15, 0x7b>(x); }

// Saturates to -128..127; NaN, which int8 does not have, becomes 0.
ATTEND_HD int8_t i8_from(double x) {
  if (!(x > -128.0)) return x != x ? int8_t{0} : int8_t{-128};
  if (x >= 127.0) return 127;
  const double sum = x + 0x1.8p52;  // rounds to an integer in the last bits
  return static_cast<int8_t>(std::bit_cast<uint64_t>(sum) & 0xffu);
}

template <class T>
ATTEND_HD T load_as(const std::byte* p) {
  T x;
  __builtin_memcpy(&x, __builtin_assume_aligned(p, sizeof x),
                   sizeof x);  // one load on every device
  return x;
}

// An element of q, k, v, a cache or a bias.
ATTEND_HD float load(const std::byte* p, DType dtype) {
  switch (dtype) {
    case DType::kF16: return f16_to_f32(load_as<uint16_t>(p));
    case DType::kBF16: return bf16_to_f32(load_as<uint16_t>(p));
    case DType::kF8E4M3: return f8_e4m3_to_f32(load_as<uint8_t>(p));
    case DType::kF8E5M2: return f8_e5m2_to_f32(load_as<uint8_t>(p));
    case DType::kI8: return static_cast<float>(load_as<int8_t>(p));
    default: return load_as<float>(p);
  }
}

ATTEND_HD void store(std::byte* p, DType dtype, float x) {
  const auto put = [p](auto bits) {
    __builtin_memcpy(__builtin_assume_aligned(p, sizeof bits), &bits, sizeof bits);
  };
  switch (dtype) {
    case DType::kF16: return put(f32_to_f16(x));
    case DType::kBF16: return put(f32_to_bf16(x));
    case DType::kF8E4M3: return put(f8_e4m3_from(x));
    case DType::kF8E5M2: return put(f8_e5m2_from(x));
    case DType::kI8: return put(i8_from(x));
    default: return put(x);
  }
}

}  // namespace attend
