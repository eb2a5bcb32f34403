// Contract 4: what a row may not see never reaches it, and what it sees shows, for every row of
// both operators. The poison of the case list covers keys that no row sees; here some rows see
// them.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/ops/rows.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

class NaNs : public RowTest {
 protected:
  static AttentionCase the_case(DType dtype) {
    AttentionCase c;
    c.batch = 2, c.seqlen_q = 70, c.seqlen_k = 90, c.heads = 4, c.kv_heads = 2, c.head_dim = 48;
    c.dtype = dtype;
    c.lse = true;
    return c;
  }
  // Elements of out that are NaN.
  static int64_t count_nan(const TensorView& out) {
    int64_t n = 0;
    for (int64_t b = 0; b < out.dim(0); ++b)
      for (int64_t i = 0; i < out.dim(1); ++i)
        for (int64_t h = 0; h < out.dim(2); ++h)
          for (int64_t e = 0; e < out.dim(3); ++e) n += std::isnan(load(out, {b, i, h, e}));
    return n;
  }
  void put(const TensorView& t, int64_t b, int64_t j, int64_t kv_head, double value) {
    for (int64_t e = 0; e < t.dim(3); ++e) store(t.dtype, address_of(t, {b, j, kv_head, e}), value);
  }
  void matches(const CaseTensors& t) {
    const auto verdicts = judge(t.args, t.params);
    EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, NaNs,
                         ::testing::ValuesIn(rows_and_dtypes({OpId::kVanilla, OpId::kFlash})),
                         [](const auto& p) { return test_name(p.param); });

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST_P(NaNs, InKReachTheRowsThatSeeTheKeyAndNoOther) {
  for (double value : {kNaN, kInf}) {
    AttentionCase c = the_case(dtype());
    c.causal = true;  // rows stand at 20 to 89; key 50 is seen from row 30 on
    CaseTensors t = make_tensors(c);
    put(t.args.k, 1, 50, 1, value);
    if (!run(t.args, t.params)) return;
    if (std::isnan(value)) {
      EXPECT_EQ(count_nan(t.args.out), 2 * 40 * 48);  // the two heads of kv head 1, rows 30 to 69
      matches(t);
      continue;
    }
    // Inf * q gives +inf, -inf or NaN by signs; rows before the key must not notice.
    for (int64_t i = 0; i < 30; ++i)
      for (int64_t h = 0; h < 4; ++h) EXPECT_FALSE(std::isnan(load(t.args.out, {1, i, h, 0}))) << i;
    EXPECT_TRUE(std::isnan(load(t.args.out, {1, 69, 2, 0})));
  }
}

TEST_P(NaNs, InKBehindKeepReachTheRowsThatKeepIt) {
  AttentionCase c = the_case(dtype());
  c.keep = Spread::kRowsKeys;
  CaseTensors t = make_tensors(c);
  for (int64_t i = 0; i < 70; ++i)
    store(DType::kBool, address_of(t.params.mask.keep, {i, 33}), i % 3 == 0);
  put(t.args.k, 0, 33, 0, kNaN);
  if (!run(t.args, t.params)) return;
  EXPECT_EQ(count_nan(t.args.out), 2 * 24 * 48);
  matches(t);
}

TEST_P(NaNs, InVShowInEveryRowThatSeesIt) {
  AttentionCase c = the_case(dtype());
  CaseTensors t = make_tensors(c);
  put(t.args.v, 0, 89, 1, kNaN);
  if (!run(t.args, t.params)) return;
  EXPECT_EQ(count_nan(t.args.out), 2 * 70 * 48);
  matches(t);
}

// Lengths, holes and windows keep V out even where other words are given.
TEST_P(NaNs, InVBeyondALengthInAHoleAndOutsideTheWindow) {
  AttentionCase c = the_case(dtype());
  c.seqused_k = c.hole = true;
  c.window_left = 12;
  c.causal = true;
  c.bias = Spread::kFull;
  CaseTensors t = make_tensors(c);  // poisoned there
  if (!run(t.args, t.params)) return;
  EXPECT_EQ(count_nan(t.args.out), 0);
  matches(t);
}

TEST_P(NaNs, InQStayInTheirRow) {
  CaseTensors t = make_tensors(the_case(dtype()));
  store(dtype(), address_of(t.args.q, {0, 17, 3, 5}), kNaN);
  if (!run(t.args, t.params)) return;
  EXPECT_EQ(count_nan(t.args.out), 48);
  EXPECT_TRUE(std::isnan(load(t.args.lse, {0, 3, 17})));
  matches(t);
}

TEST_P(NaNs, InABiasStayInTheirPair) {
  AttentionCase c = the_case(dtype());
  c.bias = Spread::kFull;
  c.causal = true;
  CaseTensors t = make_tensors(c);
  store(DType::kF32, address_of(t.params.bias, {1, 2, 10, 5}), kNaN);   // seen by its row
  store(DType::kF32, address_of(t.params.bias, {1, 2, 11, 80}), kNaN);  // beyond the diagonal
  if (!run(t.args, t.params)) return;
  EXPECT_EQ(count_nan(t.args.out), 48);
  matches(t);
}

// Values near the ends of the formats: nothing overflows that float64 does not.
TEST_P(NaNs, LargeScoresDoNotOverflow) {
  CaseTensors t = make_tensors(the_case(dtype()));
  t.params.softmax_scale = 200.0f;  // scores of some thousands: exp() of the raw score would be inf
  if (!run(t.args, t.params)) return;
  EXPECT_EQ(count_nan(t.args.out), 0);
  matches(t);
}

TEST_P(NaNs, HalfSubnormalsSurvive) {
  if (dtype() != DType::kF16) GTEST_SKIP() << "f16 only";
  CaseTensors t = make_tensors(the_case(dtype()));
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t j = 0; j < 90; ++j)
      for (int64_t h = 0; h < 2; ++h) put(t.args.v, b, j, h, 0x1p-20);
  if (!run(t.args, t.params)) return;
  EXPECT_NEAR(load(t.args.out, {1, 69, 3, 47}), 0x1p-20, 0x1p-24);
}

}  // namespace
}  // namespace attend::testing
