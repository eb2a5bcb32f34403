// The worked oracles O1 to O9, O12, O16 and O17 on every row of the operators of contiguous keys:
// values computed in float64 and printed to six decimals, from the fill rule of worked.h. O15 needs
// dropout and is in vanilla_test; those of pages and ranges stand in paged/ and decode/.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/ops/rows.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

class WorkedOracles : public RowTest {
 protected:
  // f32 to the printed digits; 16-bit inputs to what their own rounding does to values of this
  // size.
  double tolerance() const {
    return dtype() == DType::kF32 ? 2e-6 : dtype() == DType::kF16 ? 4e-3 : 3e-2;
  }

  void near(const std::vector<double>& got, const std::vector<double>& want,
            const char* what) const {
    ASSERT_EQ(got.size(), want.size()) << what;
    for (size_t n = 0; n < got.size(); ++n) {
      if (std::isinf(want[n]))
        EXPECT_EQ(got[n], want[n]) << what << " " << n;
      else
        EXPECT_NEAR(got[n], want[n], tolerance()) << what << " " << n;
    }
  }
  // The oracles' diagonal is bottom right where they name none; sdpa's own default is not.
  bool run_worked(Worked& w) const {
    if (w.params.mask.diagonal == Diagonal::kOperatorDefault && op() == OpId::kSdpa)
      w.params.mask.diagonal = Diagonal::kBottomRight;
    return run(w.args, w.params);
  }
  void expect_out(Worked& w, const std::vector<double>& out) {
    if (run_worked(w)) near(w.out.all(), out, "out");
  }
  void expect_out_and_weights(Worked& w, const std::vector<double>& out,
                              const std::vector<double>& weights) {
    if (op() == OpId::kVanilla) w.ask_for_weights();
    if (!run_worked(w)) return;
    near(w.out.all(), out, "out");
    if (op() == OpId::kVanilla) near(w.weights.all(), weights, "weights");
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, WorkedOracles,
                         ::testing::ValuesIn(rows_and_dtypes({OpId::kVanilla, OpId::kFlash,
                                                              OpId::kSplash, OpId::kSdpa,
                                                              OpId::kRing})),
                         [](const auto& p) { return test_name(p.param); });

Values keep_of(std::initializer_list<int64_t> shape, const std::vector<double>& keep) {
  return Values(DType::kBool, shape, keep);
}
Values indices(const std::vector<double>& values) {
  return Values(DType::kI32, {static_cast<int64_t>(values.size())}, values);
}

TEST_P(WorkedOracles, O1PlainAttention) {
  Worked w(2, 3, 1, 1, dtype());
  expect_out_and_weights(w, {0.531609, 0.326137, 0.629273, 0.394704},
                         {0.445917, 0.373084, 0.180999, 0.427642, 0.468464, 0.103894});
}

const std::vector<double> kO2Keep = {1, 0, 1, 0, 1, 1}, kO2Bias = {0, 1, -1, 2, 0, 0.5};

TEST_P(WorkedOracles, O2MaskOnly) {
  Worked w(2, 3, 1, 1, dtype());
  const Values keep = keep_of({2, 3}, kO2Keep);
  w.params.mask.keep = keep;
  expect_out_and_weights(w, {0.404199, 0.436243, 0.514170, -0.057230},
                         {0.711286, 0, 0.288714, 0, 0.818481, 0.181519});
}

TEST_P(WorkedOracles, O2BiasOnly) {
  Worked w(2, 3, 1, 1, dtype());
  const Values bias(DType::kF32, {2, 3}, kO2Bias);
  w.params.bias = bias;
  expect_out_and_weights(w, {0.701060, 0.344205, 0.719490, 0.805772},
                         {0.292089, 0.664296, 0.043616, 0.831627, 0.123292, 0.045081});
}

TEST_P(WorkedOracles, O2BiasWinsBitForBit) {
  Worked both(2, 3, 1, 1, dtype()), alone(2, 3, 1, 1, dtype());
  const Values bias(DType::kF32, {2, 3}, kO2Bias), keep = keep_of({2, 3}, kO2Keep);
  both.params.bias = alone.params.bias = bias;
  both.params.mask.keep = keep;
  both.params.mask_with_bias = MaskWithBias::kBiasOnly;
  if (!run(both.args, both.params) || !run(alone.args, alone.params)) return;
  EXPECT_EQ(both.out.memory, alone.out.memory);
  EXPECT_EQ(both.lse.memory, alone.lse.memory);
  near(both.out.all(), {0.701060, 0.344205, 0.719490, 0.805772}, "out");
}

TEST_P(WorkedOracles, O2BothApplied) {
  Worked w(2, 3, 1, 1, dtype());
  const Values bias(DType::kF32, {2, 3}, kO2Bias), keep = keep_of({2, 3}, kO2Keep);
  w.params.bias = bias;
  w.params.mask.keep = keep;
  w.params.mask_with_bias = MaskWithBias::kBoth;
  expect_out_and_weights(w, {0.612717, 0.746071, 0.404185, -0.151452},
                         {0.870077, 0, 0.129923, 0, 0.732254, 0.267746});
}

TEST_P(WorkedOracles, O3MoreKeysThanRows) {
  Worked top_left(2, 4, 1, 1, dtype()), bottom_right(2, 4, 1, 1, dtype());
  top_left.params.mask.causal = bottom_right.params.mask.causal = true;
  top_left.params.mask.diagonal = Diagonal::kTopLeft;
  expect_out_and_weights(top_left, {0.783327, 0.999574, 0.763659, 0.550794},
                         {1, 0, 0, 0, 0.477223, 0.522777, 0, 0});
  expect_out_and_weights(bottom_right, {0.531609, 0.326137, 0.545637, 0.348489},
                         {0.445917, 0.373084, 0.180999, 0, 0.404643, 0.443269, 0.098306, 0.053782});
}

TEST_P(WorkedOracles, O3MoreRowsThanKeys) {
  Worked top_left(4, 2, 1, 1, dtype()), bottom_right(4, 2, 1, 1, dtype());
  top_left.params.mask.causal = bottom_right.params.mask.causal = true;
  top_left.params.mask.diagonal = Diagonal::kTopLeft;
  expect_out(top_left,
             {0.783327, 0.999574, 0.763659, 0.550794, 0.762554, 0.525587, 0.764704, 0.574642});
  expect_out(bottom_right, {0, 0, 0, 0, 0.783327, 0.999574, 0.764704, 0.574642});
}

// The safe rule: out 0, lse -inf; not the mean of V, not NaN.
TEST_P(WorkedOracles, O4FullyMaskedRow) {
  Worked w(1, 3, 1, 1, dtype());
  const Values keep = keep_of({1, 3}, {0, 0, 0});
  w.params.mask.keep = keep;
  expect_out_and_weights(w, {0, 0}, {0, 0, 0});
  if (!IsSkipped()) near(w.lse.all(), {-kInf}, "lse");
}

TEST_P(WorkedOracles, O4LeftPadding) {
  Worked w(4, 4, 1, 1, dtype());
  const Values keep = keep_of({4}, {0, 0, 1, 1});
  w.params.mask.keep = keep;
  w.params.mask.causal = true;
  expect_out(w, {0, 0, 0, 0, -0.529836, -0.951602, -0.781528, -0.642055});
}

TEST_P(WorkedOracles, O5GroupedHeads) {
  Worked w(1, 2, 4, 2, dtype());
  expect_out_and_weights(
      w, {0.404199, 0.436243, 0.526657, 0.618198, -0.120905, -0.172920, -0.748962, -0.400515},
      {0.711286, 0.288714, 0.804541, 0.195459, 0.481544, 0.518456, 0.105804, 0.894196});
}

TEST_P(WorkedOracles, O5OneKvHeadForAll) {
  Worked w(1, 2, 4, 2, dtype());
  w.args.k.shape[2] = w.args.v.shape[2] = 1;  // kv head 0 of the same memory
  expect_out(w,
             {0.404199, 0.436243, 0.526657, 0.618198, -0.009353, -0.178237, -0.301417, -0.612203});
}

// Windows do not count the row's own position, so W keys with self (C1) is (W - 1, 0).
TEST_P(WorkedOracles, O6Windows) {
  const auto windowed = [&](int32_t left, int32_t right) {
    Worked w(4, 4, 1, 1, dtype());
    w.params.mask.window_left = left;
    w.params.mask.window_right = right;
    return w;
  };
  Worked c1 = windowed(1, 0), c2 = windowed(2, 0), c3 = windowed(2, 2), causal = windowed(1, -1);
  causal.params.mask.causal = true;
  const std::vector<double> c1_out = {0.783327, 0.999574,  0.763659,  0.550794,
                                      0.040791, -0.462761, -0.781528, -0.642055};
  expect_out(c1, c1_out);
  expect_out(causal, c1_out);
  expect_out(c2,
             {0.783327, 0.999574, 0.763659, 0.550794, 0.238495, -0.073408, -0.674702, -0.587273});
  expect_out(c3,
             {0.531609, 0.326137, 0.545637, 0.348489, -0.065537, -0.175559, -0.674702, -0.587273});
}

// Scale, cap, mask; a bias comes after the cap.
TEST_P(WorkedOracles, O7SoftcapOrder) {
  const Values keep = keep_of({2, 3}, {1, 1, 0, 1, 1, 1}),
               bias(DType::kF32, {2, 3}, {0, 3, 0, 1, -1, 0.5});
  Worked a(2, 3, 1, 1, dtype(), 1, 4), b(2, 3, 1, 1, dtype(), 1, 4);
  a.params.softcap = b.params.softcap = 2;
  a.params.mask.keep = b.params.mask.keep = keep;
  expect_out_and_weights(a, {0.764701, 0.574557, 0.752762, 0.556526},
                         {0.504905, 0.495095, 0, 0.495459, 0.495460, 0.009081});
  b.params.bias = bias;
  b.params.mask_with_bias = MaskWithBias::kBoth;
  const std::vector<double> weights = {0.048320, 0.951680, 0, 0.872256, 0.118047, 0.009696};
  std::vector<double> out;  // the table gives weights only; with V of O1 they make these outputs
  const double v[] = {0.783327, 0.999574, 0.745705, 0.141120, -0.529836, -0.951602};
  for (size_t i = 0; i < 2; ++i)
    for (size_t e = 0; e < 2; ++e)
      out.push_back(weights[3 * i] * v[e] + weights[3 * i + 1] * v[2 + e] +
                    weights[3 * i + 2] * v[4 + e]);
  expect_out_and_weights(b, out, weights);
}

TEST_P(WorkedOracles, O8OneZeroSinkAmongEightZeroScores) {
  Worked w(1, 8, 1, 1, dtype());
  const Values ones(dtype(), {1, 8, 1, 2}, std::vector<double>(16, 1)), sink(DType::kF32, {1}, {0});
  w.args.v = ones;
  w.params.sinks = sink;
  w.params.softmax_scale = 0.0f;
  expect_out_and_weights(w, {8.0 / 9, 8.0 / 9}, std::vector<double>(8, 1.0 / 9));
}

TEST_P(WorkedOracles, O8SinksOnTheLogitsOfO4) {
  Worked one(1, 3, 1, 1, dtype()), two(1, 3, 1, 1, dtype());
  const Values sink(DType::kF32, {1}, {0.5}), sinks(DType::kF32, {1, 2}, {0.5, -1});
  one.params.sinks = sink;
  two.params.sinks = sinks;
  expect_out_and_weights(one, {0.368412, 0.226017}, {0.309026, 0.258552, 0.125435});
  expect_out_and_weights(two, {0.344794, 0.211528}, {0.289215, 0.241977, 0.117393});
}

TEST_P(WorkedOracles, O8AllKeysMaskedWithASink) {
  Worked w(1, 3, 1, 1, dtype());
  const Values keep = keep_of({3}, {0, 0, 0}), sinks(DType::kF32, {1, 2}, {0.5, -1});
  w.params.mask.keep = keep;
  w.params.sinks = sinks;
  expect_out(w, {0, 0});
  if (IsSkipped()) return;
  // lse is that of the sinks; f32 whatever the inputs' type.
  EXPECT_NEAR(w.lse.all()[0], std::log(std::exp(0.5) + std::exp(-1)), 1e-6);
}

// Decode's range start <= j < end with the row at end - 1, in the words that flash and vanilla
// have: keys in use and a hole before start.
TEST_P(WorkedOracles, O9DecodeRanges) {
  const Values start = indices({1, 0}), end = indices({4, 2}), zero = indices({0, 0});
  const auto ranged = [&](int32_t window_left) {
    Worked w(1, 5, 2, 1, dtype(), 2);
    w.args.seq.seqused_k = end;
    w.params.mask.hole_starts = zero;
    w.params.mask.hole_ends = start;
    w.params.mask.window_left = window_left;
    return w;
  };
  const std::vector<double> all = {0.035512, -0.274023, 0.384088, -0.094030,
                                   0.501956, 0.007851,  0.352968, -0.209956};
  const std::vector<double> weights = {
      0,        0.515837, 0.250255, 0.233909, 0, 0,        0.744543, 0.165121, 0.090336, 0,
      0.431683, 0.568317, 0,        0,        0, 0.261311, 0.738689, 0,        0,        0};
  Worked whole = ranged(-1), two_keys = ranged(1), left_two = ranged(2);
  expect_out_and_weights(whole, all, weights);
  expect_out(two_keys,
             {-0.721141, -0.716323, -0.669864, -0.779387, 0.501956, 0.007851, 0.352968, -0.209956});
  expect_out(left_two, all);
}

TEST_P(WorkedOracles, O12MergingPartialResults) {
  Worked a(1, 5, 1, 1, dtype()), b(1, 5, 1, 1, dtype()), direct(1, 5, 1, 1, dtype());
  a.args.k.shape[1] = a.args.v.shape[1] = 3;
  for (TensorView* t : {&b.args.k, &b.args.v}) {
    t->data = address_of(*t, {0, 3, 0, 0});
    t->shape[1] = 2;
  }
  expect_out(a, {0.531609, 0.326137});
  expect_out(b, {-0.163368, 0.376256});
  expect_out(direct, {0.296889, 0.343064});
  if (IsSkipped()) return;
  const double la = a.lse.all()[0], lb = b.lse.all()[0], l = std::log(std::exp(la) + std::exp(lb));
  near({la, lb, l, direct.lse.all()[0]}, {1.314241, 0.640849, 1.726334, 1.726334}, "lse");
  std::vector<double> merged;
  for (size_t e = 0; e < 2; ++e)
    merged.push_back(std::exp(la - l) * a.out.all()[e] + std::exp(lb - l) * b.out.all()[e]);
  near(merged, {0.296889, 0.343064}, "merged");
}

TEST_P(WorkedOracles, O16MaximumInTheFirstAndInTheSecondBlock) {
  Worked filled(1, 4, 1, 1, dtype()), reversed(1, 4, 1, 1, dtype());
  reversed.args.k.data = address_of(reversed.args.k, {0, 3, 0, 0});
  reversed.args.k.stride[1] = -reversed.args.k.stride[1];
  expect_out(filled, {0.320724, 0.211719});
  expect_out(reversed, {-0.293383, -0.314370});
  if (IsSkipped()) return;
  near({filled.lse.all()[0], reversed.lse.all()[0]}, {1.470541, 1.470541}, "lse");
}

TEST_P(WorkedOracles, O17Segments) {
  const auto segmented = [&](const Values& ids) {
    Worked w(4, 4, 1, 1, dtype());
    w.params.mask.causal = true;
    w.params.mask.q_segment_ids = w.params.mask.kv_segment_ids =
        contiguous(ids.view.data, DType::kI32, {1, 4});
    return w;
  };
  const Values one = indices({5, 5, 5, 5}), two = indices({1, 1, 2, 2}),
               zeros = indices({1, 1, 0, 0}), padding = indices({1, 1, -1, -1});
  Worked all = segmented(one), apart = segmented(two), zero = segmented(zeros),
         padded = segmented(padding);
  const std::vector<double> apart_out = {0.783327,  0.999574,  0.763659,  0.550794,
                                         -0.529836, -0.951602, -0.781528, -0.642055};
  expect_out(all,
             {0.783327, 0.999574, 0.763659, 0.550794, 0.238495, -0.073408, -0.577585, -0.481576});
  expect_out(apart, apart_out);
  expect_out(zero, apart_out);  // 0 is a segment like any other
  // The contract's padding is id < 0: it sees and is seen by nothing (splash's padding attends
  // padding).
  expect_out(padded, {0.783327, 0.999574, 0.763659, 0.550794, 0, 0, 0, 0});
}

}  // namespace
}  // namespace attend::testing
