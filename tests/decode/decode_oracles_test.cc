// The worked oracles O9, O10, O12 and O16 in decode's own words: values computed in float64 and
// printed to six decimals.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/ops/rows.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

class DecodeOracles : public RowTest {
 protected:
  double tolerance() const {
    return dtype() == DType::kF32 ? 2e-6 : dtype() == DType::kF16 ? 4e-3 : 3e-2;
  }
  void expect_out(Worked& w, const std::vector<double>& want) {
    if (!run(w.args, w.params)) return;
    const std::vector<double> got = w.out.all();
    ASSERT_EQ(got.size(), want.size());
    for (size_t n = 0; n < got.size(); ++n) EXPECT_NEAR(got[n], want[n], tolerance()) << n;
  }
  static Values indices(const std::vector<double>& values) {
    return Values(DType::kI32, {static_cast<int64_t>(values.size())}, values);
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, DecodeOracles, ::testing::ValuesIn(rows_and_dtypes({OpId::kDecode})),
                         [](const auto& p) { return test_name(p.param); });

TEST_P(DecodeOracles, O9Ranges) {
  const Values start = indices({1, 0}), end = indices({4, 2});
  const auto ranged = [&](int32_t window_left) {
    Worked w(1, 5, 2, 1, dtype(), 2);
    w.args.seq.start = start;
    w.args.seq.end = end;
    w.params.mask.window_left = window_left;
    return w;
  };
  const std::vector<double> all = {0.035512, -0.274023, 0.384088, -0.094030,
                                   0.501956, 0.007851,  0.352968, -0.209956};
  Worked whole = ranged(-1), two_keys = ranged(1), left_two = ranged(2);
  expect_out(whole, all);
  expect_out(two_keys,
             {-0.721141, -0.716323, -0.669864, -0.779387, 0.501956, 0.007851, 0.352968, -0.209956});
  expect_out(left_two, all);
  // The row stands at the end of the range: causal hides nothing, whatever the start.
  whole.params.mask.causal = true;
  expect_out(whole, all);
}

TEST_P(DecodeOracles, O9EmptyRanges) {
  const Values start = indices({4, 3}), end = indices({4, 1});
  Worked w(1, 5, 2, 1, dtype(), 2);
  w.args.seq.start = start;
  w.args.seq.end = end;
  expect_out(w, std::vector<double>(8, 0));
  if (IsSkipped()) return;
  for (double lse : w.lse.all()) EXPECT_EQ(lse, -std::numeric_limits<double>::infinity());
}

// Weights of 0.25 at keys 3 to 6: with the unit vectors as values they are the output, and with
// ones they sum to one.
TEST_P(DecodeOracles, O10WeightsOfARangeAcrossBlocks) {
  std::vector<double> identity(64), one_hot(8);
  for (size_t n = 0; n < 8; ++n) identity[n * 8 + n] = 1;
  for (size_t n = 3; n < 7; ++n) one_hot[n] = 0.25;
  const Values q(dtype(), {1, 1, 1, 8}, std::vector<double>(8, 0)),
      k(dtype(), {1, 8, 1, 8}, std::vector<double>(64, 0)), v(dtype(), {1, 8, 1, 8}, identity),
      ones(dtype(), {1, 8, 1, 8}, std::vector<double>(64, 1)), start = indices({3}),
                                                               end = indices({7});
  Values out(dtype(), {1, 1, 1, 8}, std::vector<double>(8, std::nan("")));
  AttentionArgs args;
  args.q = q, args.k = k, args.v = v, args.out = out;
  args.seq.start = start, args.seq.end = end;
  if (!run(args, {})) return;
  EXPECT_EQ(out.all(), one_hot);
  args.v = ones;
  if (!run(args, {})) return;
  EXPECT_EQ(out.all(), std::vector<double>(8, 1));
}

TEST_P(DecodeOracles, O12RangesMergeByLse) {
  const Values zero = indices({0}), three = indices({3}), five = indices({5});
  Worked a(1, 5, 1, 1, dtype()), b(1, 5, 1, 1, dtype()), direct(1, 5, 1, 1, dtype());
  a.args.seq.start = zero, a.args.seq.end = three;
  b.args.seq.start = three, b.args.seq.end = five;
  expect_out(a, {0.531609, 0.326137});
  expect_out(b, {-0.163368, 0.376256});
  expect_out(direct, {0.296889, 0.343064});
  if (IsSkipped()) return;
  EXPECT_NEAR(a.lse.all()[0], 1.314241, tolerance());
  EXPECT_NEAR(b.lse.all()[0], 0.640849, tolerance());
  EXPECT_NEAR(direct.lse.all()[0], 1.726334, tolerance());
}

TEST_P(DecodeOracles, O16MaximumInTheFirstAndInTheSecondBlock) {
  Worked filled(1, 4, 1, 1, dtype()), reversed(1, 4, 1, 1, dtype());
  reversed.args.k.data = address_of(reversed.args.k, {0, 3, 0, 0});
  reversed.args.k.stride[1] = -reversed.args.k.stride[1];
  expect_out(filled, {0.320724, 0.211719});
  expect_out(reversed, {-0.293383, -0.314370});
  if (IsSkipped()) return;
  EXPECT_NEAR(filled.lse.all()[0], 1.470541, tolerance());
  EXPECT_NEAR(reversed.lse.all()[0], 1.470541, tolerance());
}

}  // namespace
}  // namespace attend::testing
