// 8-bit codes by every native row of append, bit for bit those of the conversions that stand
// element by element in ops/common/element.h, which cache_elements_test holds to the formats:
// every number of the 16-bit types, and of f32 what lies around the middles of two codes, the ends of
// every range and at random; by divisors that vectors take and by those that they leave alone.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "attend/operator.h"
#include "attend/registry.h"
#include "ops/common/element.h"
#include "tests/append/cache_codes.h"

namespace attend::testing {
namespace {

constexpr DType kCodes[] = {DType::kF8E4M3, DType::kF8E5M2, DType::kI8};
constexpr float kDivisors[] = {1.0f,     0.03125f, 0.37f,           3.1f,     0x1.fffffep-8f,
                               0x1p-60f, 0x1p60f,  0x1.8p-61f,      0x1p61f,  -0.37f,
                               1e-40f,   0.0f,     0x1.fffffep127f, INFINITY, NAN};

uint8_t code_of(DType code, float x, float by) {
  const double quotient = static_cast<double>(x) / static_cast<double>(by);
  switch (code) {
    case DType::kF8E4M3: return f8_e4m3_from(quotient);
    case DType::kF8E5M2: return f8_e5m2_from(quotient);
    default: return static_cast<uint8_t>(i8_from(quotient));
  }
}

// Rows of 100, so that no whole number of vectors makes one.
constexpr int64_t kDim = 100;

// Stores numbers of a type by one row of append; `memory` holds whole rows of them.
std::vector<uint8_t> stored(const AttentionKernel& row, DType from, std::vector<std::byte>& memory,
                            DType code, float by) {
  const int64_t tokens = static_cast<int64_t>(memory.size()) / size_bytes(from) / kDim;
  std::vector<uint8_t> k(static_cast<size_t>(tokens * kDim)), v(k.size());
  std::vector<int64_t> slots(static_cast<size_t>(tokens));
  for (int64_t t = 0; t < tokens; ++t) slots[static_cast<size_t>(t)] = t;
  AttentionArgs a;
  a.k = contiguous(k.data(), code, {1, tokens, 1, kDim});
  a.v = contiguous(v.data(), code, {1, tokens, 1, kDim});
  a.k_new = a.v_new = contiguous(memory.data(), from, {tokens, 1, kDim});
  a.k_descale = a.v_descale = contiguous(&by, DType::kF32, {1});
  a.seq.slot_mapping = contiguous(slots.data(), DType::kI64, {tokens});
  AppendKv().run_kernel(row.name, a, {});
  EXPECT_TRUE(k == v);
  return k;
}

void expect_the_codes_of(DType from, std::vector<std::byte> memory) {
  memory.resize((memory.size() / static_cast<size_t>(size_bytes(from)) + kDim - 1) / kDim * kDim *
                static_cast<size_t>(size_bytes(from)));
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kAppend, DeviceType::kNative)) {
    if (!row.available(Device{})) continue;
    for (DType code : kCodes)
      for (float by : kDivisors) {
        const std::vector<uint8_t> got = stored(row, from, memory, code, by);
        for (size_t n = 0; n < got.size(); ++n) {
          const float x = load(memory.data() + n * static_cast<size_t>(size_bytes(from)), from);
          ASSERT_EQ(got[n], code_of(code, x, by))
              << row.name << ": " << x << " / " << by << " as " << name(code);
        }
      }
  }
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& numbers) {
  const auto* begin = reinterpret_cast<const std::byte*>(numbers.data());
  return {begin, begin + numbers.size() * sizeof(T)};
}

TEST(AppendCodes, OfEveryNumberOfSixteenBits) {
  std::vector<uint16_t> all(65536);
  for (size_t n = 0; n < all.size(); ++n) all[n] = static_cast<uint16_t>(n);
  for (DType from : {DType::kBF16, DType::kF16}) expect_the_codes_of(from, bytes_of(all));
}

// Middles times a divisor, and the floats beside them: quotients that f32 would round to the middle.
TEST(AppendCodes, OfTheNeighboursOfEveryMiddle) {
  std::vector<float> numbers;
  for (DType code : kCodes) {
    const CacheCodes codes(code);
    const auto& finite = codes.finite();
    for (size_t n = 0; n + 1 < finite.size(); ++n)
      for (float by : kDivisors) {
        if (!(std::abs(by) < 0x1p100f)) continue;
        const double middle = (finite[n].first + finite[n + 1].first) / 2;
        float x = static_cast<float>(middle * static_cast<double>(by));
        for (int back = 0; back < 2; ++back) x = std::nextafter(x, -INFINITY);
        for (int step = 0; step < 5; ++step, x = std::nextafter(x, INFINITY)) numbers.push_back(x);
      }
  }
  expect_the_codes_of(DType::kF32, bytes_of(numbers));
}

TEST(AppendCodes, OfTheEndsOfEveryRangeAndAtRandom) {
  std::vector<float> numbers = {0.0f,       -0.0f,     INFINITY,        -INFINITY,        NAN,
                                -NAN,       0x1p-149f, -0x1p-149f,      0x1.fffffcp-127f, 0x1p-126f,
                                -0x1p-126f, 0x1p-103f, 0x1.fffffep127f, -0x1.fffffep127f};
  for (float by : kDivisors)
    for (float most : {448.0f, 464.0f, 480.0f, 57344.0f, 61440.0f, 65536.0f, 127.0f, 127.5f, 128.0f,
                       128.5f, 131072.0f, 0x1p-9f, 0x1p-10f, 0x1p-16f, 0x1p-17f, 0.5f})
      for (float x :
           {most * by, std::nextafter(most * by, INFINITY), std::nextafter(most * by, -INFINITY)}) {
        numbers.push_back(x);
        numbers.push_back(-x);
      }
  std::mt19937 random(11);
  for (int n = 0; n < 30000; ++n) {
    const auto bits = static_cast<uint32_t>(random());
    numbers.push_back(std::bit_cast<float>(bits));
    // Exponents -24 to 23, where codes are.
    numbers.push_back(
        std::bit_cast<float>((bits & 0x807fffffu) | (103 + (bits >> 23 & 0xff) % 48) << 23));
  }
  expect_the_codes_of(DType::kF32, bytes_of(numbers));
}

}  // namespace
}  // namespace attend::testing
