#include "tests/support/judge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/element.h"
#include "tests/support/oracle.h"
#include "tests/support/tensors.h"
#include "tests/support/worked.h"

// The rule must refuse what is wrong: without these tests a judge that always agrees would go
// unseen.
namespace attend::testing {
namespace {

AttentionCase small(DType dtype) {
  AttentionCase c;
  c.batch = 2;
  c.seqlen_q = 9;
  c.seqlen_k = 40;
  c.heads = 2;
  c.head_dim = 32;
  c.dtype = dtype;
  c.causal = true;
  c.lse = c.weights = c.scores = true;
  return c;
}

// Writes gold, rounded, as a kernel without any error of its own would.
void write_gold(CaseTensors& t) {
  const Oracle oracle(t.args, t.params);
  for (int64_t b = 0; b < oracle.batch(); ++b)
    for (int64_t h = 0; h < oracle.heads(); ++h)
      for (int64_t i = 0; i < oracle.seqlen_q(b); ++i) {
        const OracleRow row = oracle.row(b, h, i);
        for (int64_t e = 0; e < oracle.v_dim(); ++e)
          store(t.args.out.dtype, oracle.out_at(t.args.out, b, i, h, e),
                row.out[static_cast<size_t>(e)]);
        store(DType::kF32, oracle.lse_at(t.args.lse, b, h, i), row.lse);
        for (int64_t j = 0; j < oracle.seqlen_k(b); ++j) {
          store(t.args.weights.dtype, address_of(t.args.weights, {b, h, i, j}),
                row.weights[static_cast<size_t>(j)]);
          store(DType::kF32, address_of(t.args.scores, {b, h, i, j}),
                row.masked[static_cast<size_t>(j)]);
        }
      }
}

const Accuracy& of(const std::vector<Accuracy>& verdicts, const std::string& what) {
  for (const Accuracy& a : verdicts) {
    if (a.what == what) return a;
  }
  throw std::runtime_error("no verdict on " + what);
}

class JudgeOf : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(All, JudgeOf, ::testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& dtype) { return std::string(name(dtype.param)); });

TEST_P(JudgeOf, AcceptsGold) {
  CaseTensors t = make_tensors(small(GetParam()));
  write_gold(t);
  const auto verdicts = judge(t.args, t.params);
  EXPECT_EQ(verdicts.size(), 4u);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

TEST_P(JudgeOf, RefusesUntouchedOutputs) {
  CaseTensors t = make_tensors(small(GetParam()));
  for (const Accuracy& a : judge(t.args, t.params)) {
    EXPECT_FALSE(a.ok) << a.what;
    EXPECT_TRUE(std::isnan(a.max_error)) << a.what;
  }
}

TEST_P(JudgeOf, RefusesOneNaNInTheMiddle) {
  CaseTensors t = make_tensors(small(GetParam()));
  write_gold(t);
  store(t.args.out.dtype, address_of(t.args.out, {0, 4, 1, 5}),
        std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(of(judge(t.args, t.params), "out").ok);
}

TEST_P(JudgeOf, RefusesZeros) {
  CaseTensors t = make_tensors(small(GetParam()));
  write_gold(t);
  for (int64_t e = 0; e < 32; ++e) store(t.args.out.dtype, address_of(t.args.out, {1, 8, 0, e}), 0);
  EXPECT_FALSE(of(judge(t.args, t.params), "out").ok);
}

TEST_P(JudgeOf, RefusesAnErrorOfAFewRoundoffsOfTheLargestValue) {
  CaseTensors t = make_tensors(small(GetParam()));
  write_gold(t);
  void* element = address_of(t.args.out, {1, 8, 0, 3});
  const Accuracy before = of(judge(t.args, t.params), "out");
  store(t.args.out.dtype, element, load(t.args.out.dtype, element) + 2 * before.allowed_error);
  EXPECT_FALSE(of(judge(t.args, t.params), "out").ok);
  EXPECT_LT(before.allowed_error, 100 * unit_roundoff(GetParam()));
}

TEST_P(JudgeOf,
       RefusesAShiftThatIsSmallEverywhere) {  // the RMS rule: each element within the maximum
  CaseTensors t = make_tensors(small(GetParam()));
  write_gold(t);
  const double allowed = of(judge(t.args, t.params), "out").allowed_error;
  for (int64_t n = 0; n < t.args.out.num_elements(); ++n) {
    void* element = static_cast<std::byte*>(t.args.out.data) + n * size_bytes(t.args.out.dtype);
    store(t.args.out.dtype, element, load(t.args.out.dtype, element) + 0.7 * allowed);
  }
  const Accuracy out = of(judge(t.args, t.params), "out");
  EXPECT_FALSE(out.ok);
  EXPECT_GT(out.rms_error, out.allowed_rms);
}

TEST(Judge, HoldsLseToItsOwnRule) {
  CaseTensors t = make_tensors(small(DType::kBF16));
  write_gold(t);
  auto* lse = static_cast<float*>(address_of(t.args.lse, {0, 1, 3}));
  *lse += 1e-4f;  // far below a bf16 unit of the value
  EXPECT_FALSE(of(judge(t.args, t.params), "lse").ok);
}

TEST(Judge, WantsInfinityWhereARowIsEmpty) {
  AttentionCase c = small(DType::kF32);
  c.seqlen_k = 3;  // nine rows against three keys: rows above the diagonal see nothing
  CaseTensors t = make_tensors(c);
  write_gold(t);
  ASSERT_TRUE(all_ok(judge(t.args, t.params)));
  store(DType::kF32, address_of(t.args.lse, {0, 0, 0}), -1e30);
  EXPECT_FALSE(of(judge(t.args, t.params), "lse").ok);
}

TEST(Judge, WantsWeightsOfHiddenKeysToBeZero) {
  CaseTensors t = make_tensors(small(DType::kF32));
  write_gold(t);
  store(DType::kF32, address_of(t.args.weights, {0, 0, 0, 39}), 1e-3);
  EXPECT_FALSE(of(judge(t.args, t.params), "weights").ok);
}

TEST(Judge, WantsNaNWhereVisibleDataIsNaN) {
  CaseTensors t = make_tensors(small(DType::kF32));
  store(DType::kF32, address_of(t.args.v, {0, 0, 0, 0}), std::numeric_limits<double>::quiet_NaN());
  write_gold(t);
  ASSERT_TRUE(all_ok(judge(t.args, t.params)));
  store(DType::kF32, address_of(t.args.out, {0, 0, 0, 0}), 0.5);
  EXPECT_FALSE(of(judge(t.args, t.params), "out").ok);
}

AttentionCase storing(DType cache) {
  AttentionCase c = small(DType::kF32);
  c.family = Family::kPaged;
  c.weights = c.scores = false;
  c.page_size = 8;
  c.own_rows = OwnRows::kSomeStored;
  c.k_cache = c.v_cache = cache;
  c.descale = cache == DType::kF32 ? Descale::kNone : Descale::kHeads;
  return c;
}

// Stores the rows as the contract says.
void write_pages(CaseTensors& t) {
  const auto write = [&](const TensorView& pages, const TensorView& own,
                         const TensorView& descale) {
    for (int64_t token = 0; token < own.dim(0); ++token) {
      const int64_t slot = load_int(t.args.seq.slot_mapping, token);
      for (int64_t h = 0; slot >= 0 && h < own.dim(1); ++h)
        for (int64_t e = 0; e < own.dim(2); ++e)
          store(pages.dtype, address_of(pages, {slot / 8, slot % 8, h, e}),
                load(own, {token, h, e}) / (descale ? load(descale, {h}) : 1));
    }
  };
  write(t.args.k, t.args.k_new, t.args.k_descale);
  write(t.args.v, t.args.v_new, t.args.v_descale);
}

TEST(Judge, HoldsStoredRowsToTheirBits) {
  for (DType cache : {DType::kF32, DType::kF8E4M3, DType::kI8}) {
    CaseTensors t = make_tensors(storing(cache));
    EXPECT_FALSE(of(judge(t.args, t.params), "stored").ok) << "nothing is stored yet";
    write_pages(t);
    ASSERT_TRUE(of(judge(t.args, t.params), "stored").ok)
        << of(judge(t.args, t.params), "stored").where;
    EXPECT_EQ(t.damaged_guard(), "");
    int64_t token = 0;
    while (load_int(t.args.seq.slot_mapping, token) < 0) ++token;
    const int64_t slot = load_int(t.args.seq.slot_mapping, token);
    auto* byte = static_cast<uint8_t*>(address_of(t.args.v, {slot / 8, slot % 8, 0, 31}));
    *byte ^= 1;  // the least bit
    EXPECT_FALSE(of(judge(t.args, t.params), "stored").ok) << name(cache);
  }
}

// 4 x baseline for an f8 cache, 2 x for the same values in a cache of q's dtype.
TEST(Judge, AllowsAnF8CacheTwiceTheShareOfTheBaseline) {
  AttentionCase c = small(DType::kBF16);
  c.family = Family::kDecode;
  c.seqlen_q = 1;
  c.weights = c.scores = false;
  c.k_cache = c.v_cache = DType::kF8E4M3;
  CaseTensors t = make_tensors(c);
  const AttentionArgs quantised = t.args;
  std::vector<Values> copies;
  for (TensorView* cache : {&t.args.k, &t.args.v}) {
    std::vector<double> values;
    for (int64_t n = 0; n < cache->num_elements(); ++n)
      values.push_back(load(cache->dtype, static_cast<std::byte*>(cache->data) + n));
    copies.emplace_back(DType::kBF16, std::initializer_list<int64_t>{2, 40, 1, 32}, values);
    *cache = copies.back();
  }
  const double allowed = of(judge(quantised, t.params), "out").allowed_error,
               plain = of(judge(t.args, t.params), "out").allowed_error;
  EXPECT_GT(allowed, 1.1 * plain);
  EXPECT_LT(allowed, 2 * plain);
}

TEST(Judge, SamplesRowsEvenly) {
  CaseTensors t = make_tensors(small(DType::kF32));
  write_gold(t);
  for (int64_t e = 0; e < 32; ++e)
    store(DType::kF32, address_of(t.args.out, {1, 8, 1, e}), 9);  // the last row of all
  EXPECT_FALSE(all_ok(judge(t.args, t.params, {.max_rows = 36})));
  EXPECT_TRUE(all_ok(judge(t.args, t.params, {.max_rows = 3})));  // not among rows 6, 18, 30
}

}  // namespace
}  // namespace attend::testing
