// Data at the edges: sequences without tokens, padding, NaN that may be seen and NaN that may not,
// decays at their limits, long sequences; and every word changing the result as the oracle says.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>

#include "tests/gdn/tensors.h"
#include "tests/support/element.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

class GdnData : public ::testing::TestWithParam<std::string> {
 protected:
  void expect_right(GdnTensors& t, const std::string& what) const {
    const GdnGold gold = t.gold();
    run_gdn(GetParam(), t);
    const GdnAllowed allowed = gdn_allowed(t.args.out.dtype);
    EXPECT_LE(relative_rms(t.args.out, gold.out), allowed.out) << what;
    if (t.kept_state()) {
      EXPECT_LE(relative_rms(t.kept_state(), gold.state), allowed.state) << what;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Rows, GdnData, ::testing::ValuesIn(gdn_rows()), [](const auto& p) {
  std::string text = p.param;
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
});

// ---- nothing to do

TEST_P(GdnData, NoTokensHandTheStateOnBitForBit) {
  for (bool ragged : {false, true}) {
    GdnCase c;
    c.seqlen = 0;
    c.states = GdnStates::kApart;
    c.layout = ragged ? GdnLayout::kRaggedI64 : GdnLayout::kDense;
    c.state_strides = GdnStateStrides::kKeysFirst;
    GdnTensors t(c);
    auto* const state = static_cast<uint32_t*>(t.args.state.data);
    const auto n = static_cast<size_t>(t.args.state.num_elements());
    for (size_t i = 0; i < n; ++i) state[i] = 0x7f800001u + static_cast<uint32_t>(i);  // NaNs
    run_gdn(GetParam(), t);
    EXPECT_EQ(std::memcmp(t.args.final_state.data, state, n * 4), 0);
  }
}

TEST_P(GdnData, NoTokensInPlaceTouchNothing) {
  GdnCase c;
  c.seqlen = 0;
  c.conv = GdnConv::kThreeTaps;
  c.conv_state = true;
  GdnTensors t(c);
  const auto before = t.written_bytes();
  run_gdn(GetParam(), t);
  EXPECT_TRUE(t.written_bytes() == before);
}

TEST_P(GdnData, WithoutAStateAFinalStateStartsAtZero) {
  GdnCase c;
  c.seqlen = 0;
  c.states = GdnStates::kFinalOnly;
  GdnTensors t(c);
  run_gdn(GetParam(), t);
  const auto* const state = static_cast<const float*>(t.args.final_state.data);
  for (int64_t i = 0; i < t.args.final_state.num_elements(); ++i) ASSERT_EQ(state[i], 0.0f);
}

TEST_P(GdnData, BatchOfNone) {
  GdnCase c;
  c.batch = 0;
  GdnTensors t(c);
  EXPECT_NO_THROW(run_gdn(GetParam(), t));
  c.layout = GdnLayout::kRaggedI32;
  GdnTensors ragged(c);
  EXPECT_NO_THROW(run_gdn(GetParam(), ragged));
}

// ---- NaN in visible data shows, from its token on and in its heads alone

TEST_P(GdnData, NaNReachesLaterTokensOnly) {
  for (int32_t chunk : {1, 16, 64})
    for (const char* where : {"q", "k", "v", "a"}) {
      GdnCase c;
      c.batch = 1;
      c.seqlen = 40;
      c.chunk = chunk;
      c.decay = GdnDecay::kGates;
      c.sizes = {2, 4, 20, 24};
      GdnTensors clean(c), t(c);
      run_gdn(GetParam(), clean);
      constexpr int64_t kBad = 21;
      const int64_t head = 1;
      const TensorView& x = *where == 'q'   ? t.args.q
                            : *where == 'k' ? t.args.k
                            : *where == 'v' ? t.args.v
                                            : t.args.a;
      void* const bad =
          x.rank == 3 ? address_of(x, {0, kBad, head}) : address_of(x, {0, kBad, head, 3});
      store(x.dtype, bad, std::nan(""));
      run_gdn(GetParam(), t);
      const bool per_key = *where == 'q' || *where == 'k';
      for (int64_t i = 0; i < c.seqlen; ++i)
        for (int64_t h = 0; h < 4; ++h) {
          const bool reached =
              (per_key ? h / 2 == head : h == head) && (*where == 'q' ? i == kBad : i >= kBad);
          // Of v one element is NaN, and value dims never meet.
          const int64_t dim = 3;
          const double got = load(t.args.out, {0, i, h, dim}),
                       want = load(clean.args.out, {0, i, h, dim});
          if (reached)
            ASSERT_TRUE(std::isnan(got)) << where << " chunk " << chunk << " token " << i;
          else
            ASSERT_EQ(got, want) << where << " chunk " << chunk << " token " << i << " head " << h;
          if (*where == 'v') {
            ASSERT_EQ(load(t.args.out, {0, i, h, 4}), load(clean.args.out, {0, i, h, 4}));
          }
        }
    }
}

TEST_P(GdnData, NaNInAStateShows) {
  GdnCase c;
  GdnTensors t(c);
  store(DType::kF32, address_of(t.args.state, {1, 2, 3, 4}), std::nan(""));
  run_gdn(GetParam(), t);
  EXPECT_TRUE(std::isnan(load(t.args.out, {1, 0, 2, 3})));
  EXPECT_FALSE(std::isnan(load(t.args.out, {1, 0, 2, 4})));
  EXPECT_FALSE(std::isnan(load(t.args.out, {0, 0, 2, 3})));
}

// ---- limits

// A decay of exactly 0 (g = -inf) forgets all before it; of 1 nothing.
TEST_P(GdnData, DecayOfMinusInfinity) {
  for (int32_t chunk : {1, 16}) {
    GdnCase c;
    c.chunk = chunk;
    GdnTensors t(c), finite(c);
    for (GdnTensors* x : {&t, &finite})
      for (int64_t h = 0; h < 4; ++h)
        store(DType::kF32, address_of(x->args.g, {0, 9, h}), x == &t ? -INFINITY : -3e4);
    const GdnGold gold = finite.gold();
    run_gdn(GetParam(), t);
    EXPECT_LE(relative_rms(t.args.out, gold.out), 1e-5);
    EXPECT_LE(relative_rms(t.args.state, gold.state), 1e-5);
  }
}

// Sums far from 0: softplus is linear where exp would overflow, and nothing where it underflows.
TEST_P(GdnData, GatesFarFromZero) {
  for (double a : {-200.0, 30.0, 200.0}) {
    GdnCase c;
    c.decay = GdnDecay::kGates;
    c.gated_beta = true;
    GdnTensors t(c);
    for (int64_t i = 0; i < c.seqlen; ++i)
      for (int64_t h = 0; h < 4; ++h) {
        store(DType::kF32, address_of(t.args.a, {0, i, h}), a);
        store(DType::kF32, address_of(t.args.a_log, {h}), -8);
        store(DType::kF32, address_of(t.args.b, {0, i, h}), i % 2 == 0 ? a : -a);
      }
    expect_right(t, "a " + std::to_string(a));
  }
}

TEST_P(GdnData, RowsOfZerosStayZeros) {
  for (float eps : {1e-6f, 0.0f}) {
    GdnCase c;
    c.norm = GdnNorm::kF32Weight;
    c.states = GdnStates::kNone;
    GdnTensors t(c);
    t.params.l2_eps = t.params.norm_eps = eps;
    for (const TensorView* x : {&t.args.q, &t.args.k, &t.args.v})
      std::memset(x->data, 0, static_cast<size_t>(x->num_elements() * size_bytes(x->dtype)));
    run_gdn(GetParam(), t);
    const auto* const out = static_cast<const float*>(t.args.out.data);
    for (int64_t i = 0; i < t.args.out.num_elements(); ++i) ASSERT_EQ(out[i], 0.0f);
  }
}

// Lengths whose squares f32 cannot hold.
TEST_P(GdnData, LongAndShortRowsAreNormalised) {
  for (double factor : {1e-25, 1e25}) {
    GdnCase c;
    c.chunk = 1;
    GdnTensors t(c);
    t.params.l2_eps = 0.0f;
    for (const TensorView* x : {&t.args.q, &t.args.k})
      for (int64_t n = 0; n < x->num_elements(); ++n) {
        auto* const at = static_cast<float*>(x->data) + n;
        *at = static_cast<float>(*at * factor);
      }
    expect_right(t, "factor " + std::to_string(factor));
  }
}

// ---- length and size

// A decay that is the same for thousands of tokens must not drift; beta = 0 leaves nothing else.
TEST_P(GdnData, LongSequencesDoNotDrift) {
  GdnCase c;
  c.batch = 1;
  c.seqlen = 4096;
  c.sizes = {1, 1, 16, 16};
  for (double decay : {0.9999, 0.97, 0.05})
    for (double beta : {0.0, 1.0, 2.0}) {
      GdnTensors t(c);
      for (int64_t i = 0; i < c.seqlen; ++i) {
        store(DType::kF32, address_of(t.args.g, {0, i, 0}), std::log(decay));
        store(DType::kF32, address_of(t.args.beta, {0, i, 0}), beta);
      }
      static std::map<std::pair<double, double>, GdnGold> golds;  // the same for every row
      if (!golds.contains({decay, beta})) golds[{decay, beta}] = t.gold();
      const GdnGold& gold = golds[{decay, beta}];
      for (int32_t chunk : {1, 2, 64}) {
        t.reset();
        t.params.chunk_size = chunk;
        run_gdn(GetParam(), t);
        const std::string what = "decay " + std::to_string(decay) + " beta " +
                                 std::to_string(beta) + " chunk " + std::to_string(chunk);
        EXPECT_LE(relative_rms(t.args.out, gold.out), 1e-5) << what;
        // With nothing written a state that decays below f32's range is 0, as it is in f32.
        if (beta != 0 || decay == 0.9999) {
          EXPECT_LE(relative_rms(t.args.state, gold.state), 1e-5) << what;
        }
      }
    }
}

TEST_P(GdnData, DimensionsOfModels) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const GdnSizes& sizes :
         {GdnSizes{1, 2, 128, 128}, GdnSizes{1, 1, 256, 64}, GdnSizes{1, 1, 96, 256}}) {
      GdnCase c;
      c.dtype = dtype;
      c.batch = 1;
      c.seqlen = 150;
      c.sizes = sizes;
      c.range = GdnRange::kNearOne;
      GdnTensors t(c);
      expect_right(t, name(c));
    }
}

// Every count of tokens around the sizes of chunks and register tiles.
TEST_P(GdnData, EveryLength) {
  for (int64_t n = 1; n <= 50; ++n)
    for (int32_t chunk : {12, 24, 1024}) {
      GdnCase c;
      c.batch = 1;
      c.seqlen = n;
      c.chunk = chunk;
      c.sizes = {1, 1, 7, 9};
      GdnTensors t(c);
      expect_right(t, std::to_string(n) + " tokens, chunk " + std::to_string(chunk));
    }
}

// ---- words

TEST_P(GdnData, EveryWordChangesTheResultAsTheOracleSays) {
  GdnCase c;
  c.conv = GdnConv::kFourBias;
  c.conv_state = true;
  c.norm = GdnNorm::kF32Weight;
  c.decay = GdnDecay::kGates;
  c.gated_beta = true;
  const struct {
    const char* word;
    std::function<void(GdnTensors&)> set;
  } words[] = {
      // The norm divides by the length of out, so a scale shows beside norm_eps alone.
      {"softmax_scale", [](GdnTensors& t) { t.params.softmax_scale = 1e-3f; }},
      {"normalize_qk",
       [](GdnTensors& t) { t.params.normalize_qk = false, t.params.l2_eps = 1e-6f; }},
      {"conv_silu", [](GdnTensors& t) { t.params.conv_silu = false; }},
      {"l2_eps", [](GdnTensors& t) { t.params.l2_eps = 0.5f; }},
      {"norm_eps", [](GdnTensors& t) { t.params.norm_eps = 0.25f; }},
      {"state", [](GdnTensors& t) { t.args.state = {}; }},
      {"conv_state", [](GdnTensors& t) { t.args.conv_state = {}; }},
      {"conv_bias", [](GdnTensors& t) { t.args.conv_bias = {}; }},
      {"z", [](GdnTensors& t) { t.args.z = t.args.norm_weight = {}, t.params.norm_eps = 1e-6f; }}};
  GdnTensors usual(c);
  const GdnGold before = usual.gold();
  for (const auto& w : words) {
    GdnTensors t(c);
    w.set(t);
    const GdnGold gold = t.gold();
    double change = 0;
    for (size_t n = 0; n < gold.out.size(); ++n)
      change = std::max(change, std::abs(gold.out[n] - before.out[n]));
    EXPECT_GT(change, 1e-3) << w.word;  // else the comparison would not tell
    expect_right(t, w.word);
  }
}

}  // namespace
}  // namespace attend::testing
