// Elements of caches, one at a time: every code is read as its format defines it, and a number
// becomes the nearest code, ties to even, saturated; NaN stays NaN where the type has one.
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "backends/native/convert.h"
#include "tests/append/cache_codes.h"
#include "tests/support/element.h"

namespace attend::native {
namespace {

using testing::CacheCodes;
using testing::is_nan_code;
using testing::value_of_code;
constexpr DType kCaches[] = {DType::kF8E4M3, DType::kF8E5M2, DType::kI8};

int encode(DType dtype, double x) {
  switch (dtype) {
    case DType::kF8E4M3: return f8_e4m3_from(x);
    case DType::kF8E5M2: return f8_e5m2_from(x);
    default: return static_cast<uint8_t>(i8_from(x));
  }
}
float decode(DType dtype, int code) {
  const std::byte bytes[4] = {static_cast<std::byte>(code)};
  return load(bytes, dtype);
}

TEST(CacheElements, KnownValuesOfTheTables) {
  EXPECT_EQ(decode(DType::kF8E4M3, 0x7e), 448.0f);
  EXPECT_EQ(decode(DType::kF8E4M3, 0x38), 1.0f);
  EXPECT_EQ(decode(DType::kF8E4M3, 0x01), 0x1p-9f);
  EXPECT_EQ(decode(DType::kF8E4M3, 0x08), 0x1p-6f);
  EXPECT_EQ(decode(DType::kF8E5M2, 0x7b), 57344.0f);
  EXPECT_EQ(decode(DType::kF8E5M2, 0x3c), 1.0f);
  EXPECT_EQ(decode(DType::kF8E5M2, 0x01), 0x1p-16f);
  EXPECT_EQ(decode(DType::kF8E5M2, 0x04), 0x1p-14f);
  EXPECT_EQ(decode(DType::kF8E5M2, 0xfc), -INFINITY);
  EXPECT_EQ(decode(DType::kI8, 0x80), -128.0f);
}

TEST(CacheElements, EveryCodeIsReadAsDefined) {
  for (DType dtype : kCaches)
    for (int code = 0; code < 256; ++code) {
      const double want = value_of_code(dtype, code);
      const float got = decode(dtype, code);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << name(dtype) << code;
        continue;
      }
      EXPECT_EQ(got, want) << name(dtype) << code;
      EXPECT_EQ(std::signbit(got), std::signbit(want)) << name(dtype) << code;
    }
}

TEST(CacheElements, EveryCodeComesBack) {
  for (DType dtype : kCaches)
    for (int code = 0; code < 256; ++code) {
      const float value = decode(dtype, code);
      const int back = encode(dtype, value);
      if (std::isnan(value))
        EXPECT_TRUE(is_nan_code(dtype, back) && (back & 0x80) == (code & 0x80))
            << name(dtype) << code;
      else if (std::isinf(value))  // saturates
        EXPECT_EQ(back, value > 0 ? 0x7b : 0xfb);
      else
        EXPECT_EQ(back, code) << name(dtype);
    }
}

void expect_nearest(const CacheCodes& codes, DType dtype, float x) {
  ASSERT_EQ(encode(dtype, x), codes.nearest(x, 1)) << name(dtype) << " of " << x;
}

TEST(CacheElements, MiddlesAndTheirNeighboursRoundToNearestEven) {
  for (DType dtype : kCaches) {
    const CacheCodes codes(dtype);
    const auto& finite = codes.finite();
    ASSERT_GE(finite.size(), 245u);
    for (size_t n = 0; n + 1 < finite.size(); ++n) {
      const auto middle = static_cast<float>((finite[n].first + finite[n + 1].first) / 2);
      ASSERT_EQ(middle * 2, finite[n].first + finite[n + 1].first);
      for (float x : {middle, std::nextafter(middle, INFINITY), std::nextafter(middle, -INFINITY)})
        expect_nearest(codes, dtype, x);
    }
    for (float largest : {448.0f, 57344.0f, 127.0f, 128.0f, 464.0f, 61440.0f, 127.5f, 128.5f})
      for (float x : {largest, std::nextafter(largest, INFINITY), largest * 2, 3e38f, INFINITY}) {
        expect_nearest(codes, dtype, x);
        expect_nearest(codes, dtype, -x);
      }
  }
}

TEST(CacheElements, RandomNumbersRoundToNearest) {
  std::mt19937 random(3);
  for (DType dtype : kCaches) {
    const CacheCodes codes(dtype);
    for (int n = 0; n < 20000; ++n) {  // exponents -24 to 23, all mantissas, both signs
      const auto bits = static_cast<uint32_t>(random());
      const uint32_t exponent = 103 + (bits >> 23 & 0xff) % 48;
      expect_nearest(codes, dtype, std::bit_cast<float>((bits & 0x807fffffu) | exponent << 23));
    }
    for (float x : {0.0f, -0.0f, 1e-45f, -1e-45f, 1e-38f, -1e-38f}) expect_nearest(codes, dtype, x);
  }
}

TEST(CacheElements, NaNStaysNaNWhereThereIsOne) {
  for (uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xffc00000u, 0xffffffffu}) {
    const auto nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(is_nan_code(DType::kF8E4M3, encode(DType::kF8E4M3, nan)));
    EXPECT_TRUE(is_nan_code(DType::kF8E5M2, encode(DType::kF8E5M2, nan)));
    EXPECT_EQ(encode(DType::kI8, nan), 0);
  }
}

// The 16-bit types against the tests' own conversions: every code, and numbers around every middle.
TEST(Elements, SixteenBitsAreReadAndRounded) {
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    for (int code = 0; code < 65536; ++code) {
      const auto bits = static_cast<uint16_t>(code);
      std::byte bytes[4] = {}, back[4] = {}, wanted[4] = {};
      std::memcpy(bytes, &bits, sizeof bits);
      const float got = load(bytes, dtype);
      const double want = testing::load(dtype, bytes);
      if (std::isnan(want)) {
        store(back, dtype, got);
        ASSERT_TRUE(std::isnan(got) && std::isnan(testing::load(dtype, back))) << code;
        continue;
      }
      ASSERT_EQ(got, want) << name(dtype) << code;
      ASSERT_EQ(std::signbit(got), std::signbit(want)) << name(dtype) << code;
      const auto middle = static_cast<float>(
          (want + testing::round_to(dtype, want * (1 + 1.5 * testing::unit_roundoff(dtype)))) / 2);
      for (float x :
           {got, middle, std::nextafter(middle, INFINITY), std::nextafter(middle, -INFINITY)}) {
        store(back, dtype, x);
        testing::store(dtype, wanted, static_cast<double>(x));
        ASSERT_EQ(std::memcmp(back, wanted, 2), 0) << name(dtype) << " of " << x;
      }
    }
    for (float x : {0x1p-24f, 0x1.8p-25f, 0x1p-25f, 0x1.000002p-25f, 0x1p-26f, 65504.0f, 65519.0f,
                    65519.996f, 65520.0f, 1e30f, INFINITY, 1e-45f, 0x1.ffcp-15f, 0x1.ffep-15f})
      for (float signed_x : {x, -x}) {
        std::byte back[4] = {}, wanted[4] = {};
        store(back, dtype, signed_x);
        testing::store(dtype, wanted, static_cast<double>(signed_x));
        EXPECT_EQ(std::memcmp(back, wanted, 2), 0) << name(dtype) << " of " << signed_x;
      }
  }
}

TEST(CacheElements, RowsAreTheirElements) {  // every path of load_row and store_row
  constexpr int64_t kN = 37;
  for (DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI8}) {
    for (int64_t step : {1, 3, -1}) {
      std::vector<std::byte> memory(static_cast<size_t>(kN * 3 * size_bytes(dtype)));
      std::byte* first = step < 0 ? memory.data() + (kN - 1) * size_bytes(dtype) : memory.data();
      float from[kN], to[kN];
      for (int64_t i = 0; i < kN; ++i) from[i] = static_cast<float>(i) * 1.37f - 20.0f;
      store_row(from, kN, first, step, dtype);
      load_row(first, step, dtype, kN, to);
      for (int64_t i = 0; i < kN; ++i) {
        const std::byte* at = first + i * step * size_bytes(dtype);
        std::byte one[4];
        store(one, dtype, from[i]);
        EXPECT_EQ(std::memcmp(one, at, static_cast<size_t>(size_bytes(dtype))), 0);
        EXPECT_EQ(to[i], load(at, dtype));
        EXPECT_NEAR(to[i], from[i], dtype == DType::kI8 ? 0.5 : std::abs(from[i]) / 8 + 1e-3);
      }
    }
  }
}

}  // namespace
}  // namespace attend::native
