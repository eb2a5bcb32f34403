// The worked oracles O13, O14 and O18 of reference/operators.md, which other code than ours
// computed, on every row; and the float64 recurrence of these tests on the same numbers.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/gdn/tensors.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr double kPrinted = 0.6e-6;  // six digits, and f32 arithmetic on values below 2

std::vector<double> nothing(size_t n) { return std::vector<double>(n, std::nan("")); }

void expect_near(const std::vector<double>& got, const std::vector<double>& want, double within) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t n = 0; n < want.size(); ++n) EXPECT_NEAR(got[n], want[n], within) << "element " << n;
}

class GdnWorked : public ::testing::TestWithParam<std::string> {
 protected:
  void run(const GdnArgs& a, const GdnParams& p) const { run_gdn(GetParam(), a, p); }
};

INSTANTIATE_TEST_SUITE_P(Rows, GdnWorked, ::testing::ValuesIn(gdn_rows()), [](const auto& p) {
  std::string text = p.param;
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
});

// O14 and O18: one head, k_dim = v_dim = 2, four tokens.
struct Rule {
  Values q{DType::kF32, {1, 4, 1, 2}, sine_fill(8, 0.1)};
  Values k{DType::kF32, {1, 4, 1, 2}, sine_fill(8, 0.5)};
  Values v{DType::kF32, {1, 4, 1, 2}, sine_fill(8, 0.9)};
  Values g, beta;
  Values state{DType::kF32, {1, 1, 2, 2}, sine_fill(4, 1.6)};
  Values out{DType::kF32, {1, 4, 1, 2}, nothing(8)};
  GdnArgs args;
  GdnParams params;

  Rule(const std::vector<double>& decays, const std::vector<double>& betas)
      : g(DType::kF32, {1, 4, 1}, decays), beta(DType::kF32, {1, 4, 1}, betas) {
    args.q = q;
    args.k = k;
    args.v = v;
    args.g = g;
    args.beta = beta;
    args.state = state;
    args.out = out;
    params.normalize_qk = true;
  }
  // The same call over tokens [first, first + n) alone.
  GdnArgs part(int64_t first, int64_t n) const {
    GdnArgs a = args;
    for (TensorView* t : {&a.q, &a.k, &a.v, &a.out, &a.g, &a.beta}) {
      t->data = address_of(*t, {0, first});
      t->shape[1] = n;
    }
    return a;
  }
};

const std::vector<double> kDecays{-0.1, -0.5, -1.0, -0.05}, kBetas{0.9, 0.5, 0.25, 1.0};
const std::vector<double> kOut{0.422328,  0.498049,  0.462043,  0.255320,
                               -0.056727, -0.146031, -0.650339, -0.341098};
const std::vector<double> kStates[] = {{0.809602, 0.490347, 0.690650, 0.615020},
                                       {0.566664, 0.338603, 0.240992, 0.276112},
                                       {0.227102, 0.213982, 0.131205, 0.305707},
                                       {0.714842, 0.589043, 0.273583, 0.405776}};

TEST(GdnOracle, IsTheWorkedOne) {
  const Rule c(kDecays, kBetas);
  const GdnGold gold = gdn_gold(c.args, c.params, {1, 1, 2, 2});
  expect_near(gold.out, kOut, 0.51e-6);
  expect_near(gold.state, kStates[3], 0.51e-6);
}

TEST_P(GdnWorked, O14ChunksOfEverySize) {
  for (int32_t chunk : {1, 2, 3, 4, 64}) {
    Rule c(kDecays, kBetas);
    c.params.chunk_size = chunk;
    run(c.args, c.params);
    SCOPED_TRACE(chunk);
    expect_near(c.out.all(), kOut, kPrinted);
    expect_near(c.state.all(), kStates[3], kPrinted);
  }
}

TEST_P(GdnWorked, O14StateAfterEveryToken) {
  Rule c(kDecays, kBetas);
  for (int64_t t = 0; t < 4; ++t) {
    run(c.part(t, 1), c.params);
    expect_near(c.state.all(), kStates[t], kPrinted);
  }
  expect_near(c.out.all(), kOut, kPrinted);
}

// d_t k_t^T is what token t adds to the decayed state, so d is seen in the states.
TEST_P(GdnWorked, O14ErrorsAfterTheDecay) {
  const std::vector<double> want{-0.207359, 1.230738,  0.086107,  -0.202594,
                                 -0.091339, -0.208518, -0.630418, -0.188029};
  for (int32_t chunk : {1, 4}) {
    std::vector<double> before = sine_fill(4, 1.6), d;
    for (int64_t t = 0; t < 4; ++t) {
      Rule c(kDecays, kBetas);
      c.params.chunk_size = chunk;
      run(c.part(0, t + 1), c.params);
      const std::vector<double> after = c.state.all();
      const double k0 = std::sin(0.7 * double(2 * t) + 0.5),
                   k1 = std::sin(0.7 * double(2 * t + 1) + 0.5), length = std::hypot(k0, k1);
      for (size_t v = 0; v < 2; ++v) {
        const double x0 = after[2 * v] - std::exp(kDecays[size_t(t)]) * before[2 * v],
                     x1 = after[2 * v + 1] - std::exp(kDecays[size_t(t)]) * before[2 * v + 1];
        d.push_back((x0 * k0 + x1 * k1) / length);
      }
      before = after;
    }
    SCOPED_TRACE(chunk);
    expect_near(d, want, 2 * kPrinted);
  }
}

TEST_P(GdnWorked, O14StateInTheOtherOrder) {
  Rule c(kDecays, kBetas);
  const auto s = sine_fill(4, 1.6);
  Values other(DType::kF32, {1, 1, 2, 2}, {s[0], s[2], s[1], s[3]});
  c.args.state = transposed(other, 2, 3);
  run(c.args, c.params);
  expect_near(c.out.all(), kOut, kPrinted);
  const auto& want = kStates[3];
  expect_near(other.all(), {want[0], want[2], want[1], want[3]}, kPrinted);
}

TEST_P(GdnWorked, O18StrongDecay) {
  struct Steep {
    double g;
    std::vector<double> out, state;
  };
  const Steep all[] = {
      {-1,
       {0.351827, 0.252009, 0.344986, 0.109744, -0.123835, -0.256212, -0.370943, -0.225607},
       {0.386632, 0.356144, 0.174179, 0.274857}},
      {-30,
       {0.261387, 0.333546, 0.259276, 0.049066, -0.143137, -0.257079, -0.323637, -0.162411},
       {0.366274, 0.283065, 0.183808, 0.142051}}};
  for (const Steep& steep : all)
    for (int32_t chunk : {1, 2, 3, 4}) {
      Rule c(std::vector<double>(4, steep.g), std::vector<double>(4, 0.5));
      c.params.chunk_size = chunk;
      run(c.args, c.params);
      SCOPED_TRACE(chunk);
      expect_near(c.out.all(), steep.out, kPrinted);
      expect_near(c.state.all(), steep.state, kPrinted);
    }
}

// g = -30 reached through the gates.
TEST_P(GdnWorked, O18ThroughTheGates) {
  Rule c(kDecays, kBetas);
  const double sum = std::log(std::exp(1.0) - 1);
  Values a(DType::kF32, {1, 4, 1}, std::vector<double>(4, sum - 0.25)),
      b(DType::kF32, {1, 4, 1}, std::vector<double>(4, 0.0)),
      a_log(DType::kF32, {1}, {std::log(30.0)}), dt_bias(DType::kF32, {1}, {0.25});
  c.args.g = c.args.beta = {};
  c.args.a = a;
  c.args.b = b;
  c.args.a_log = a_log;
  c.args.dt_bias = dt_bias;
  run(c.args, c.params);
  expect_near(c.out.all(),
              {0.261387, 0.333546, 0.259276, 0.049066, -0.143137, -0.257079, -0.323637, -0.162411},
              kPrinted);
}

// O13: the whole layer; three tokens, one key head, two value heads, three taps.
struct Layer {
  Values mixed{DType::kF32, {1, 3, 8}, sine_fill(24, 0.2)};
  Values weight{DType::kF32, {8, 3}, sine_fill(24, 0.3)};
  Values conv_state{DType::kF32, {1, 8, 2}, std::vector<double>(16, 0.0)};
  Values a_log{DType::kF32, {2}, sine_fill(2, 0.4)}, dt_bias{DType::kF32, {2}, sine_fill(2, 0.6)};
  Values a{DType::kF32, {1, 3, 2}, sine_fill(6, 0.8)}, b{DType::kF32, {1, 3, 2}, sine_fill(6, 1.0)};
  Values z{DType::kF32, {1, 3, 2, 2}, sine_fill(12, 1.2)};
  Values norm{DType::kF32, {2}, sine_fill(2, 1.4)};
  Values state{DType::kF32, {1, 2, 2, 2}, std::vector<double>(8, 0.0)};
  Values out{DType::kF32, {1, 3, 2, 2}, nothing(12)};
  GdnArgs args;
  GdnParams params;

  Layer() {
    args.mixed_qkv = mixed;
    args.conv_weight = weight;
    args.conv_state = conv_state;
    args.a_log = a_log;
    args.dt_bias = dt_bias;
    args.a = a;
    args.b = b;
    args.z = z;
    args.norm_weight = norm;
    args.state = state;
    args.out = out;
    params.normalize_qk = true;
  }
  GdnArgs part(int64_t first, int64_t n) const {
    GdnArgs p = args;
    for (TensorView* t : {&p.mixed_qkv, &p.a, &p.b, &p.z, &p.out}) {
      if (!*t) continue;
      t->data = address_of(*t, {0, first});
      t->shape[1] = n;
    }
    return p;
  }
  void start_from_fill() {
    state = Values(DType::kF32, {1, 2, 2, 2}, sine_fill(8, 1.6)), args.state = state;
  }
};

const std::vector<double> kGated{0.350359,  -0.770824, 0.256520,  0.072865, -0.193134, 0.268176,
                                 -0.197207, 0.082200,  -0.349528, 0.474003, -0.941403, -0.019526};
const std::vector<double> kUngated{0.020250, -0.049894, 0.132338,  -0.190610, 0.012893,  -0.018367,
                                   0.015640, -0.021938, -0.062850, 0.044294,  -0.054530, -0.002800};
const std::vector<double> kFinal{0.016275, -0.091099, -0.012804, 0.063544,
                                 0.013780, -0.079207, -0.000952, -0.004888};
const std::vector<double> kPast{-0.464602, -0.919329, 0.215120,  -0.449647, 0.793668, 0.231510,
                                0.998941,  0.803784,  0.734397,  0.998027,  0.124454, 0.722881,
                                -0.544021, 0.107754,  -0.956635, -0.558052};

TEST(GdnOracle, IsTheWorkedLayer) {
  const Layer c;
  const GdnGold gold = gdn_gold(c.args, c.params, {1, 2, 2, 2});
  // RMSNorm of values near 1e-2 divides what f32 inputs round away.
  expect_near(gold.out, kGated, 1e-6);
  expect_near(gold.state, kFinal, 0.51e-6);
  expect_near(gold.conv_state, kPast, 0.51e-6);
}

TEST_P(GdnWorked, O13Layer) {
  for (int32_t chunk : {1, 2, 3, 64}) {
    Layer c;
    c.params.chunk_size = chunk;
    run(c.args, c.params);
    SCOPED_TRACE(chunk);
    expect_near(c.out.all(), kGated, 2e-6);
    expect_near(c.state.all(), kFinal, kPrinted);
    expect_near(c.conv_state.all(), kPast, kPrinted);
  }
}

TEST_P(GdnWorked, O13BeforeTheNorm) {
  Layer c;
  c.args.z = c.args.norm_weight = {};
  run(c.args, c.params);
  expect_near(c.out.all(), kUngated, kPrinted);
}

TEST_P(GdnWorked, O13FromAState) {
  Layer c;
  c.start_from_fill();
  c.args.z = c.args.norm_weight = {};
  run(c.args, c.params);
  expect_near(c.out.all(),
              {0.031543, -0.038326, 0.131833, -0.191381, 0.004800, -0.018277, 0.015781, -0.021893,
               -0.063449, 0.044216, -0.054525, -0.002798},
              kPrinted);
  expect_near(c.state.all(),
              {0.019925, -0.090241, -0.012791, 0.063426, 0.013747, -0.079216, -0.000964, -0.004889},
              kPrinted);
}

TEST_P(GdnWorked, O13SplitInTwoIsBitForBitOnePass) {
  Layer whole, split;
  whole.start_from_fill();
  split.start_from_fill();
  run(whole.args, whole.params);
  run(split.part(0, 2), split.params);
  run(split.part(2, 1), split.params);
  EXPECT_EQ(whole.out.memory, split.out.memory);
  EXPECT_EQ(whole.state.memory, split.state.memory);
  EXPECT_EQ(whole.conv_state.memory, split.conv_state.memory);
}

// What a forgotten past gives is known too, so that the test above cannot pass by luck.
TEST_P(GdnWorked, O13WithoutThePast) {
  Layer c;
  c.start_from_fill();
  c.args.z = c.args.norm_weight = {};
  run(c.part(0, 2), c.params);
  c.args.conv_state = {};
  run(c.part(2, 1), c.params);
  const std::vector<double> out = c.out.all();
  expect_near({out.end() - 4, out.end()}, {-0.046157, 0.002541, -0.003011, 0.036362}, kPrinted);
}

// The convolution alone, seen through the rule: state 0, beta 1 and one token give
// out = (q . k) v * scale, so q = k = 1 shows v.
TEST_P(GdnWorked, O13ConvolutionAlone) {
  const std::vector<double> x = sine_fill(8, 0.2), w = sine_fill(6, 0.3);
  const std::vector<double> want{0.197013, -0.479285, 1.158416,  -0.423694,
                                 1.039767, 0.884300,  -0.529528, 1.048132};
  std::vector<double> mixed,
      weight{0, 0, 1, 0, 0, 1};  // q and k: one channel each, the newest token
  for (size_t t = 0; t < 4; ++t) mixed.insert(mixed.end(), {1, 1, x[2 * t], x[2 * t + 1]});
  weight.insert(weight.end(), w.begin(), w.end());
  Values mixed_qkv(DType::kF32, {1, 4, 4}, mixed), conv_weight(DType::kF32, {4, 3}, weight),
      alpha(DType::kF32, {1, 4, 1}, {1, 1, 1, 1}), beta(DType::kF32, {1, 4, 1}, {1, 1, 1, 1}),
      out(DType::kF32, {1, 4, 1, 2}, nothing(8));
  GdnArgs a;
  a.mixed_qkv = mixed_qkv;
  a.conv_weight = conv_weight;
  a.alpha = alpha;
  a.beta = beta;
  a.out = out;
  GdnParams p;
  p.conv_silu = false;
  p.k_heads = 1;
  p.softmax_scale = 1.0f;
  for (int32_t chunk : {1, 4}) {
    p.chunk_size = chunk;
    run(a, p);  // k = 1 and beta = 1: every token replaces the state by its own v
    expect_near(out.all(), want, 2 * kPrinted);
  }
}

}  // namespace
}  // namespace attend::testing
