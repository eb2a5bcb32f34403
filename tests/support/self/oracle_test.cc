#include "tests/support/oracle.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/element.h"
#include "tests/support/philox.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

using Words = std::array<uint32_t, 4>;

// kat_vectors of Random123.
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Elements, EveryHalfAndBrainValueSurvivesTheRoundTrip) {
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const auto half = static_cast<uint16_t>(bits);
      const double value = load(dtype, &half);
      uint16_t back = 0;
      store(dtype, &back, value);
      if (std::isnan(value))
        EXPECT_TRUE(std::isnan(load(dtype, &back)));
      else
        ASSERT_EQ(back, half) << name(dtype) << " " << value;
    }
  }
}

TEST(Elements, EveryCacheValueSurvivesTheRoundTrip) {
  for (DType dtype : {DType::kF8E4M3, DType::kF8E5M2, DType::kI8}) {
    for (uint32_t bits = 0; bits < 0x100; ++bits) {
      const auto byte = static_cast<uint8_t>(bits);
      const double value = load(dtype, &byte);
      uint8_t back = 0;
      store(dtype, &back, value);
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(load(dtype, &back)));
      } else if (std::isfinite(value)) {
        ASSERT_EQ(back, byte) << name(dtype) << " " << value;
      }
    }
  }
}

// OCP 8-bit floating point specification, revision 1.0, table 2.
TEST(Elements, CacheFormatsAreThePublishedOnes) {
  const auto of = [](DType dtype, uint8_t bits) { return load(dtype, &bits); };
  EXPECT_EQ(of(DType::kF8E4M3, 0x7E), 448);
  EXPECT_EQ(of(DType::kF8E4M3, 0x08), 0x1p-6);
  EXPECT_EQ(of(DType::kF8E4M3, 0x01), 0x1p-9);
  EXPECT_TRUE(std::isnan(of(DType::kF8E4M3, 0x7F)));
  EXPECT_EQ(of(DType::kF8E5M2, 0x7B), 57344);
  EXPECT_EQ(of(DType::kF8E5M2, 0x04), 0x1p-14);
  EXPECT_EQ(of(DType::kF8E5M2, 0x01), 0x1p-16);
  EXPECT_EQ(of(DType::kF8E5M2, 0x7C), std::numeric_limits<double>::infinity());
  EXPECT_EQ(of(DType::kI8, 0xFF), -1);
}

TEST(Elements, CachesSaturateAndRoundToNearestEven) {
  const auto stored = [](DType dtype, double value) {
    uint8_t byte = 0;
    store(dtype, &byte, value);
    return load(dtype, &byte);
  };
  EXPECT_EQ(stored(DType::kF8E4M3, 1e6), 448);
  EXPECT_EQ(stored(DType::kF8E4M3, -std::numeric_limits<double>::infinity()), -448);
  EXPECT_EQ(stored(DType::kF8E5M2, 1e6), 57344);
  EXPECT_EQ(stored(DType::kF8E4M3, 17), 16);  // halfway between 16 and 18
  EXPECT_EQ(stored(DType::kF8E4M3, 19), 20);
  EXPECT_EQ(stored(DType::kI8, 200), 127);
  EXPECT_EQ(stored(DType::kI8, -129), -128);
  EXPECT_EQ(stored(DType::kI8, 2.5), 2);
}

TEST(Elements, RoundToNearestEven) {
  EXPECT_EQ(round_to(DType::kBF16, 1 + 0x1p-8), 1);
  EXPECT_EQ(round_to(DType::kBF16, 1 + 3 * 0x1p-8), 1 + 4 * 0x1p-8);
  EXPECT_EQ(round_to(DType::kF16, 1 + 0x1p-11), 1);
  EXPECT_EQ(round_to(DType::kF16, 0x1.8p-24), 0x1p-23);  // subnormals
  EXPECT_EQ(round_to(DType::kF16, 65519), 65504);
  EXPECT_EQ(round_to(DType::kF16, 65520), std::numeric_limits<double>::infinity());
  EXPECT_EQ(round_to(DType::kF32, 0.1), static_cast<double>(0.1f));
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-6) << "element " << i;
}

// O1 of the worked oracles, printed to six decimals there.
TEST(Oracle, PlainAttention) {
  Worked w(2, 3);
  const Oracle oracle(w.args, w.params);
  expect_near(oracle.row(0, 0, 0).scaled, {0.506618, 0.328289, -0.395022});
  expect_near(oracle.row(0, 0, 0).weights, {0.445917, 0.373084, 0.180999});
  expect_near(oracle.row(0, 0, 0).out, {0.531609, 0.326137});
  expect_near(oracle.row(0, 0, 1).weights, {0.427642, 0.468464, 0.103894});
  expect_near(oracle.row(0, 0, 1).out, {0.629273, 0.394704});
  EXPECT_NEAR(oracle.row(0, 0, 0).lse, 1.314241, 2e-6);  // O12, part A
}

TEST(Oracle, CausalOnBothDiagonals) {  // O3
  Worked w(2, 4);
  w.params.mask.causal = true;
  expect_near(Oracle(w.args, w.params).row(0, 0, 1).weights,
              {0.404643, 0.443269, 0.098306, 0.053782});
  w.params.mask.diagonal = Diagonal::kTopLeft;
  expect_near(Oracle(w.args, w.params).row(0, 0, 1).weights, {0.477223, 0.522777, 0, 0});
}

TEST(Oracle, EmptyRowsAreZero) {  // O3, T 4, S 2
  Worked w(4, 2);
  w.params.mask.causal = true;
  const Oracle oracle(w.args, w.params);
  expect_near(oracle.row(0, 0, 1).out, {0, 0});
  EXPECT_EQ(oracle.row(0, 0, 1).lse, -std::numeric_limits<double>::infinity());
  expect_near(oracle.row(0, 0, 3).out, {0.764704, 0.574642});
}

TEST(Oracle, HeadsShareKeysInOrder) {  // O5
  Worked w(1, 2, 4, 2);
  const Oracle oracle(w.args, w.params);
  expect_near(oracle.row(0, 1, 0).out, {0.526657, 0.618198});
  expect_near(oracle.row(0, 2, 0).out, {-0.120905, -0.172920});
}

TEST(Oracle, SoftcapBeforeBiasBeforeMask) {  // O7, bias after cap; mask and bias both applied
  Worked w(2, 3, 1, 1, DType::kF32, 1, 4);
  w.params.softcap = 2;
  float bias[] = {0, 3, 0, 1, -1, 0.5};
  uint8_t keep[] = {1, 1, 0, 1, 1, 1};
  w.params.bias = contiguous(bias, DType::kF32, {2, 3});
  w.params.mask.keep = contiguous(keep, DType::kBool, {2, 3});
  w.params.mask_with_bias = MaskWithBias::kBoth;
  const Oracle oracle(w.args, w.params);
  expect_near(oracle.row(0, 0, 0).weights, {0.048320, 0.951680, 0});
  expect_near(oracle.row(0, 0, 1).weights, {0.872256, 0.118047, 0.009696});
}

TEST(Oracle, SinksCountOncePerRow) {  // O8
  Worked w(1, 3);
  float sinks[] = {0.5f, -1};
  w.params.sinks = contiguous(sinks, DType::kF32, {1, 2});
  expect_near(Oracle(w.args, w.params).row(0, 0, 0).weights, {0.289215, 0.241977, 0.117393});
  w.params.sinks = contiguous(sinks, DType::kF32, {1});
  expect_near(Oracle(w.args, w.params).row(0, 0, 0).out, {0.368412, 0.226017});
}

TEST(Oracle, SegmentsAndWindow) {  // O17, O6 C1
  Worked w(4, 4);
  w.params.mask.causal = true;
  int32_t ids[] = {1, 1, 2, 2};
  w.params.mask.q_segment_ids = w.params.mask.kv_segment_ids = contiguous(ids, DType::kI32, {1, 4});
  expect_near(Oracle(w.args, w.params).row(0, 0, 3).out, {-0.781528, -0.642055});
  w.params.mask.q_segment_ids = w.params.mask.kv_segment_ids = {};
  w.params.mask.window_left = 1;
  expect_near(Oracle(w.args, w.params).row(0, 0, 2).out, {0.040791, -0.462761});
}

// Keys 0 to 4 in pages of two, [3, 1, 4]; every other slot holds 777.
TEST(Oracle, PagesInEitherForm) {  // O11
  Worked w(2, 5, 2);
  w.params.mask.causal = true;
  std::vector<double> k(20, 777), v(20, 777);
  const std::vector<double> all_k = w.k.all(), all_v = w.v.all();
  const size_t slots[] = {6, 7, 2, 3, 8};
  for (size_t p = 0; p < 5; ++p)
    for (size_t e = 0; e < 2; ++e)
      k[slots[p] * 2 + e] = all_k[p * 2 + e], v[slots[p] * 2 + e] = all_v[p * 2 + e];
  const Values pages_k(DType::kF32, {5, 2, 1, 2}, k), pages_v(DType::kF32, {5, 2, 1, 2}, v);
  w.args.k = pages_k;
  w.args.v = pages_v;
  int32_t table[] = {3, 1, 4}, indptr[] = {0, 3}, last[] = {1}, used[] = {5};
  w.args.seq.block_table = contiguous(table, DType::kI32, {1, 3});
  w.args.seq.seqused_k = contiguous(used, DType::kI32, {1});
  expect_near(Oracle(w.args, w.params).row(0, 1, 0).out, {0.545637, 0.348489});
  expect_near(Oracle(w.args, w.params).row(0, 0, 1).weights,
              {0.163704, 0.201821, 0.249316, 0.217292, 0.167866});

  w.args.seq.block_table = w.args.seq.seqused_k = {};
  w.args.seq.kv_indptr = contiguous(indptr, DType::kI32, {2});
  w.args.seq.kv_indices = contiguous(table, DType::kI32, {3});
  w.args.seq.kv_last_page_len = contiguous(last, DType::kI32, {1});
  expect_near(Oracle(w.args, w.params).row(0, 1, 0).out, {0.545637, 0.348489});

  // The last two keys as the call's own rows.
  int32_t context[] = {3};
  w.args.seq.context_lens = contiguous(context, DType::kI32, {1});
  const Values k_new(DType::kF32, {2, 1, 2}, {all_k.begin() + 6, all_k.end()}),
      v_new(DType::kF32, {2, 1, 2}, {all_v.begin() + 6, all_v.end()});
  w.args.k_new = k_new;
  w.args.v_new = v_new;
  expect_near(Oracle(w.args, w.params).row(0, 1, 1).out, {-0.481701, -0.327325});
  EXPECT_EQ(Oracle(w.args, w.params).seqlen_k(0), 5);
}

TEST(Oracle, DescalesMultiplyWhatIsStored) {
  Worked w(1, 2, 2, 2);
  const Values stored(DType::kI8, {1, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}),
      by_head(DType::kF32, {2}, {0.5, 0.25}), scalar(DType::kF32, {}, {3});
  w.args.k = stored;
  w.args.v = stored;
  w.args.k_descale = by_head;
  w.args.v_descale = scalar;
  const Oracle oracle(w.args, w.params);
  EXPECT_EQ(oracle.keys(0, 1).k, (std::vector<double>{0.75, 1, 1.75, 2}));
  EXPECT_EQ(oracle.keys(0, 1).v, (std::vector<double>{9, 12, 21, 24}));
}

TEST(Oracle, DecodeRanges) {  // O9
  Worked w(1, 5, 2, 1, DType::kF32, 2);
  int32_t start[] = {1, 0}, end[] = {4, 2};
  w.args.seq.start = contiguous(start, DType::kI32, {2});
  w.args.seq.end = contiguous(end, DType::kI32, {2});
  const Oracle oracle(w.args, w.params);
  expect_near(oracle.row(0, 0, 0).weights, {0, 0.515837, 0.250255, 0.233909});
  expect_near(oracle.row(1, 1, 0).out, {0.352968, -0.209956});
  w.params.mask.window_left = 1;
  expect_near(Oracle(w.args, w.params).row(0, 0, 0).out, {-0.721141, -0.716323});
}

// Rows of the mask, 1 = visible.
std::string picture(const Oracle& oracle, int64_t rows, int64_t keys) {
  std::string text;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < keys; ++j) text += oracle.sees(0, 0, i, j) ? '1' : '.';
    text += ' ';
  }
  return text;
}

// Drawn by hand from section 3 of the contract.
TEST(Oracle, MaskPictures) {
  Worked w(3, 6);
  MaskSpec& m = w.params.mask;
  int32_t three[] = {3}, one[] = {1}, minus[] = {-1}, four[] = {4};
  const auto index = [](int32_t* value) { return contiguous(value, DType::kI32, {1}); };
  const auto drawn = [&] { return picture(Oracle(w.args, w.params), 3, 6); };

  m.block_size = 2;  // rows at 3, 4, 5
  EXPECT_EQ(drawn(), "1111.. 111111 111111 ");
  m.block_origin = index(one);  // blocks: key 0 | 1 2 | 3 4 | 5
  EXPECT_EQ(drawn(), "11111. 11111. 111111 ");
  m.block_origin = index(four);  // keys 0 to 3 come before the origin
  EXPECT_EQ(drawn(), "1111.. 111111 111111 ");
  m.block_origin = {};
  m.q_start = index(minus);  // rows at -1, 0, 1
  EXPECT_EQ(drawn(), "...... 11.... 11.... ");
  m.block_size = 0;
  m.causal = true;
  EXPECT_EQ(drawn(), "...... 1..... 11.... ");
  m.prefix_lens = index(one);  // rows at -1 and 0 see the prefix
  EXPECT_EQ(drawn(), "1..... 1..... 11.... ");
  m.q_start = index(three);
  m.prefix_lens = index(four);  // row at 3 sees keys 0 to 3; rows at 4 and 5 are causal
  EXPECT_EQ(drawn(), "1111.. 11111. 111111 ");
  m.q_start = index(one);  // rows at 1, 2, 3 see the prefix
  EXPECT_EQ(drawn(), "1111.. 1111.. 1111.. ");
  m.window_right = 1;  // the explicit side still holds in the prefix
  EXPECT_EQ(drawn(), "111... 1111.. 1111.. ");
  m.hole_starts = index(one);
  m.hole_ends = index(three);
  EXPECT_EQ(drawn(), "1..... 1..1.. 1..1.. ");

  m = {};
  uint8_t blocks[] = {1, 0, 1, 0, 1, 1};  // of 2 rows x 2 keys
  m.block_mask = contiguous(blocks, DType::kBool, {2, 3});
  m.block_mask_q = m.block_mask_k = 2;
  EXPECT_EQ(drawn(), "11..11 11..11 ..1111 ");
  m.causal = true;
  EXPECT_EQ(drawn(), "11.... 11..1. ..1111 ");
}

}  // namespace
}  // namespace attend::testing
