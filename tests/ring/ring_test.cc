// Ring attention means what the single call means, however many ranks hold its rows: every count
// from 1 to 8, both placements, by the rule of contract 8 against the float64 oracle.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "attend/parallel.h"
#include "tests/ring/ranks.h"
#include "tests/support/devices.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

// Whether ring has all words of a case.
bool in_domain(const AttentionCase& c) {
  const int64_t dim = std::max(c.head_dim, c.dim_v());
  return c.family == Family::kPlain && !c.weights && !c.scores &&
         (dim <= 512 || (c.head_dim == 576 && c.dim_v() == 512));
}

void expect_results(CaseTensors& t, const Judge& judge, Ranks& ranks) {
  t.reset_outputs();
  for (const RankResult& r : ranks.run()) ASSERT_EQ(r.what, "");
  EXPECT_EQ(ranks.gather(), "");
  EXPECT_EQ(t.damaged_guard(), "");
  const auto verdicts = judge.compare(t.args);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

// On every device under test.
void expect_right(CaseTensors& t, const Judge& judge, Placing placing,
                  const std::vector<int>& keys_shares = {}) {
  for (const DeviceType device : test_devices()) {
    placing.device = device;
    SCOPED_TRACE(name(placing));
    Ranks ranks(t.args, t.params, placing, keys_shares);
    expect_results(t, judge, ranks);
  }
}

// Devices that are executed on the host take their time: fewer calls there, of every kind.
bool few_calls() {
  for (const DeviceType device : test_devices())
    if (device == DeviceType::kNative) return false;
  return tier_from_environment() == Tier::kSmoke;
}

constexpr RingPlacement kPlacements[] = {RingPlacement::kContiguous, RingPlacement::kZigzag};

// Every case of flash and of dropout, each on another number of ranks. (The rows alone: kernels/.)
TEST(Ring, RanksMatchTheOracleOnEveryCase) {
  size_t n = 0, ran = 0;
  for (const AttentionCase& c : cases(tier_from_environment())) {
    if (!in_domain(c)) continue;
    ++n;
    if (tier_from_environment() == Tier::kSmoke && n % (few_calls() ? 24 : 3) != 0) continue;
    SCOPED_TRACE(name(c));
    CaseTensors t = make_tensors(c);
    const Judge judge(t.args, t.params);
    const auto count = static_cast<int32_t>(ran / 2 % 8 + 1);
    const Placing placing{count, kPlacements[ran % 2], {}};
    expect_right(t, judge, placing);
    ++ran;
  }
  EXPECT_GT(ran, few_calls() ? 12u : 100u);
}

struct Feature {
  const char* name;
  void (*set)(AttentionCase&);
};
const Feature kFeatures[] = {
    {"plain", [](AttentionCase&) {}},
    {"causal", [](AttentionCase& c) { c.causal = true; }},
    {"causal_top_left", [](AttentionCase& c) { c.causal = true, c.diagonal = Diagonal::kTopLeft; }},
    {"window", [](AttentionCase& c) { c.window_left = 9, c.window_right = 4; }},
    {"causal_window", [](AttentionCase& c) { c.causal = true, c.window_left = 13; }},
    {"segments", [](AttentionCase& c) { c.segments = true; }},
    {"causal_segments", [](AttentionCase& c) { c.segments = c.causal = true; }},
    {"sinks", [](AttentionCase& c) { c.sinks = PerHead::k2D, c.causal = true; }},
    {"dropout", [](AttentionCase& c) { c.dropout_p = 0.25f; }},
    {"causal_dropout_sinks",
     [](AttentionCase& c) { c.dropout_p = 0.25f, c.causal = true, c.sinks = PerHead::k1D; }},
    {"blocks",
     [](AttentionCase& c) { c.block_size = 8, c.block_origin = c.prefix = c.hole = true; }},
    {"q_start", [](AttentionCase& c) { c.q_start = c.causal = true; }},
    {"alibi_bias_keep",
     [](AttentionCase& c) {
       c.alibi = PerHead::k2D, c.bias = c.keep = Spread::kFull;
       c.mask_with_bias = MaskWithBias::kBoth;
     }},
    {"used", [](AttentionCase& c) { c.seqused_q = c.seqused_k = c.causal = true; }},
    {"cap", [](AttentionCase& c) { c.softcap = 5, c.scale = Scale::kNegative; }},
};

class Features : public ::testing::TestWithParam<Feature> {};

TEST_P(Features, EveryRankCountAndPlacement) {
  const struct {
    int64_t q, k;
  } sizes[] = {{45, 45}, {37, 61}, {5, 3}};  // odd, and fewer rows than ranks
  for (const Layout layout : {Layout::kDense, Layout::kRagged})
    for (const auto& size : sizes) {
      AttentionCase c;
      c.layout = layout;
      c.batch = layout == Layout::kRagged ? 4 : 2;
      c.seqlen_q = size.q;
      c.seqlen_k = size.k;
      c.heads = 4;
      c.kv_heads = 2;
      c.head_dim = 24;
      c.lse = true;
      c.dtype = size.q == 37 ? DType::kBF16 : DType::kF32;
      GetParam().set(c);
      SCOPED_TRACE(name(c));
      CaseTensors t = make_tensors(c);
      const Judge judge(t.args, t.params);
      int placed = 0;
      for (int32_t n = 1; n <= (few_calls() ? 4 : 8); ++n) {
        if (size.q != 45 && n % 3 != 2) continue;  // the other sizes on 2, 5 and 8
        for (const RingPlacement placement : kPlacements) {
          if (few_calls() && layout == Layout::kRagged && ++placed % 2 == n / 2 % 2) continue;
          expect_right(t, judge, {n, placement, {}});
        }
      }
      if (few_calls() && size.q != 5) continue;
      // Unequal shares, and ranks that hold nothing; q and k cut in different places.
      for (const auto& [q, k] : {std::pair<std::vector<int>, std::vector<int>>{{0, 9, 0, 7}, {}},
                                 {{16, 0, 0}, {0, 0, 16}},
                                 {{1, 2, 13}, {6, 6, 4}}})
        expect_right(t, judge, {static_cast<int32_t>(q.size()), RingPlacement::kContiguous, q}, k);
    }
}

INSTANTIATE_TEST_SUITE_P(Ring, Features, ::testing::ValuesIn(kFeatures),
                         [](const auto& p) { return std::string(p.param.name); });

TEST(Ring, LongSequencesInManyPieces) {
  AttentionCase c;
  c.seqlen_q = 70;
  c.seqlen_k = 4500;  // over two pieces on one rank
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 32;
  c.causal = c.lse = true;
  for (const float p : {0.0f, 0.1f}) {
    if (few_calls() && p == 0.0f) continue;
    c.dropout_p = p;
    CaseTensors t = make_tensors(c);
    const Judge judge(t.args, t.params, {64});
    for (const DeviceType device : test_devices()) {
      t.reset_outputs();
      forward_there(RingAttention(), device, t.args, t.params);
      const auto verdicts = judge.compare(t.args);
      EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
    }
    for (const RingPlacement placement : kPlacements) expect_right(t, judge, {3, placement, {}});
  }
}

// Counts what travels.
class CountingTransport final : public RingTransport {
 public:
  explicit CountingTransport(RingTransport* inner) : inner_(*inner) {}
  int32_t rank() const noexcept override { return inner_.rank(); }
  int32_t size() const noexcept override { return inner_.size(); }
  bool reaches(DeviceType device) const noexcept override { return inner_.reaches(device); }
  Status start(const void* send, uint64_t send_bytes, void* receive, uint64_t receive_bytes,
               void* stream) override {
    exchanges.push_back(send_bytes);
    return inner_.start(send, send_bytes, receive, receive_bytes, stream);
  }
  Status wait(void* stream) override { return inner_.wait(stream); }
  void abort(const char* why) noexcept override { inner_.abort(why); }
  std::vector<uint64_t> exchanges;

 private:
  RingTransport& inner_;
};

// n - 1 blocks a rank, K and V in their own dtype, V not apart where it lies in K, only keys in use.
TEST(Ring, OnlyKeysInUseTravelInTheirOwnType) {
  const auto sent_on = [](DeviceType device, const AttentionCase& c) {
    CaseTensors t = make_tensors(c);
    const Judge judge(t.args, t.params);
    Ranks ranks(t.args, t.params, {4, RingPlacement::kContiguous, {}, device});
    std::vector<std::unique_ptr<CountingTransport>> transports;
    for (int32_t r = 0; r < 4; ++r) {
      transports.push_back(std::make_unique<CountingTransport>(ranks.ring().transport(r)));
      ranks.params(r).ring_transport = transports.back().get();
    }
    expect_results(t, judge, ranks);
    // Two rounds of small words, then three blocks.
    EXPECT_EQ(transports[0]->exchanges.size(), 9u);
    uint64_t sum = 0;
    for (const auto& transport : transports)
      for (size_t n = 6; n < transport->exchanges.size(); ++n) sum += transport->exchanges[n];
    return sum;
  };
  const auto bytes_sent = [&](const AttentionCase& c) {
    uint64_t sum = 0;
    for (const DeviceType device : test_devices()) {
      const uint64_t sent = sent_on(device, c);
      EXPECT_TRUE(sum == 0 || sum == sent) << name(device);
      sum = sent;
    }
    return sum;
  };
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = 64;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 32;
  c.lse = true;
  constexpr uint64_t kElements = 3 * 64 * 2 * (32 + 32);  // every key to the three others
  EXPECT_EQ(bytes_sent(c), kElements * 4);
  c.dtype = DType::kBF16;
  EXPECT_EQ(bytes_sent(c), kElements * 2);
  c.segments = true;
  EXPECT_EQ(bytes_sent(c), kElements * 2 + 3 * 64 * 8);
  c.segments = false;
  c.v_dim = 16;
  c.v_in_k = true;
  EXPECT_EQ(bytes_sent(c), kElements * 2 / 2);
  c.batch = 4;
  c.seqused_k = true;  // of four sequences, 64, 32, 48 and 0 keys
  EXPECT_EQ(bytes_sent(c), uint64_t{3} * (64 + 32 + 48) * 2 * 32 * 2);
}

// The carry of O17: what two devices hold after each step, m + log l being the lse of the keys so
// far.
TEST(Ring, O17Carries) {
  if (few_calls()) GTEST_SKIP() << "of native alone";
  const std::vector<double> out = {0.783327, 0.999574,  0.763659,  0.550794,
                                   0.238495, -0.073408, -0.577585, -0.481576};
  const auto lse_after = [](int64_t first_row, int64_t first_key, int64_t keys) {
    Worked w(4, 4);
    const std::vector<int32_t> start = {static_cast<int32_t>(first_row - first_key)};
    w.params.mask.causal = true;
    w.params.mask.q_start = contiguous(const_cast<int32_t*>(start.data()), DType::kI32, {1});
    w.args.q.data = address_of(w.args.q, {0, first_row, 0, 0});
    w.args.out.data = address_of(w.args.out, {0, first_row, 0, 0});
    for (TensorView* t : {&w.args.k, &w.args.v}) {
      t->data = address_of(*t, {0, first_key, 0, 0});
      t->shape[1] = keys;
    }
    w.args.q.shape[1] = w.args.out.shape[1] = w.args.lse.shape[2] = 2;
    RingAttention().forward(w.args, w.params);
    const auto all = w.lse.all();
    return std::vector<double>{all[0], all[1]};
  };
  const auto expect = [](const std::vector<double>& lse, double m0, double l0, double m1,
                         double l1) {
    EXPECT_NEAR(lse[0], m0 + std::log(l0), 2e-6);
    EXPECT_NEAR(lse[1], m1 + std::log(l1), 2e-6);
  };
  expect(lse_after(0, 0, 2), 0.506618, 1.000000, 0.962168, 1.912861);  // device 0, step 0
  expect(lse_after(2, 2, 2), 0.210124, 1.000000, 1.171760, 1.573264);  // device 1, step 0

  Worked w(4, 4);
  w.params.mask.causal = true;
  Ranks ranks(w.args, w.params, {2, RingPlacement::kContiguous, {}});
  for (const RankResult& r : ranks.run()) ASSERT_EQ(r.what, "");
  EXPECT_EQ(ranks.gather(), "");
  const auto lse = w.lse.all(), got = w.out.all();
  expect({lse[0], lse[1]}, 0.506618, 1.000000, 0.962168, 1.912861);  // step 1 changes nothing
  expect({lse[2], lse[3]}, 0.210124, 2.466113, 1.171760, 1.812302);
  for (size_t n = 0; n < out.size(); ++n) EXPECT_NEAR(got[n], out[n], 2e-6) << n;
}

// With the unit vectors for values, out is the weights after dropout: 0 exactly where a pair is
// dropped.
TEST(Ring, DropoutDropsThePairsThatVanillaDrops) {
  constexpr int64_t kRows = 43, kHeads = 4, kBatch = 2;
  std::vector<double> units;
  for (int64_t n = 0; n < kBatch * kRows * 2 * kRows; ++n)
    units.push_back(n % kRows == n / (2 * kRows) % kRows ? 1 : 0);
  std::vector<double> nothing(kBatch * kRows * kHeads * kRows, NAN);
  Values q(DType::kF32, {kBatch, kRows, kHeads, 8}, sine_fill(kBatch * kRows * kHeads * 8, 0.3)),
      k(DType::kF32, {kBatch, kRows, 2, 8}, sine_fill(kBatch * kRows * 2 * 8, 0.9)),
      v(DType::kF32, {kBatch, kRows, 2, kRows}, units),
      out(DType::kF32, {kBatch, kRows, kHeads, kRows}, nothing),
      weights(DType::kF32, {kBatch, kHeads, kRows, kRows}, nothing);
  AttentionArgs args;
  args.q = q, args.k = k, args.v = v, args.out = out, args.weights = weights;
  AttentionParams params;
  params.deterministic = false;
  params.dropout_p = 0.4f;
  params.dropout_seed = 0x123456789abcdefULL;
  params.dropout_offset = 77;
  forward_there(VanillaAttention(), test_devices().front(), args, params);
  args.weights = {};
  int64_t dropped = 0;
  const auto expect_same_pairs = [&](const std::string& where) {
    dropped = 0;
    for (int64_t b = 0; b < kBatch; ++b)
      for (int64_t h = 0; h < kHeads; ++h)
        for (int64_t i = 0; i < kRows; ++i)
          for (int64_t j = 0; j < kRows; ++j) {
            const double want = load(weights.view, {b, h, i, j}),
                         got = load(out.view, {b, i, h, j});
            ASSERT_EQ(got == 0, want == 0)
                << where << ": " << b << " " << h << " " << i << " " << j;
            ASSERT_NEAR(got, want, 1e-6);
            dropped += want == 0;
          }
    EXPECT_GT(dropped, kBatch * kHeads * kRows * kRows / 3);
  };
  for (const DeviceType device : test_devices()) {
    forward_there(RingAttention(), device, args, params);
    expect_same_pairs("alone");
    for (int32_t n = 1; n <= (few_calls() ? 4 : 8); ++n)
      for (const RingPlacement placement : kPlacements) {
        const Placing placing{n, placement, {}, device};
        Ranks ranks(args, params, placing);
        for (const RankResult& r : ranks.run()) ASSERT_EQ(r.what, "");
        ASSERT_EQ(ranks.gather(), "");
        expect_same_pairs(name(placing));
      }
  }
}

TEST(Ring, DeterministicSwitchesDropoutOff) {
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = 20;
  CaseTensors plain = make_tensors(c), dropped = make_tensors(c);
  dropped.params.dropout_p = 0.5f;
  RingAttention().forward(plain.args, plain.params);
  RingAttention().forward(dropped.args, dropped.params);
  EXPECT_EQ(plain.output_bytes(), dropped.output_bytes());
}

// Contract 7: the same ranks give the same bits, whatever threads work and in whatever order.
TEST(Ring, BitsDependOnNeitherThreadsNorRuns) {
  if (few_calls()) GTEST_SKIP() << "of native alone";
  AttentionCase c;
  c.batch = 2;
  c.seqlen_q = c.seqlen_k = 333;
  c.heads = 8;
  c.kv_heads = 2;
  c.causal = c.lse = true;
  CaseTensors t = make_tensors(c);
  const int32_t threads = num_threads();
  std::vector<std::byte> alone, of_ranks;
  for (const int32_t n : {1, 3, 4, 3}) {
    set_num_threads(n);
    t.reset_outputs();
    RingAttention().forward(t.args, t.params);
    if (alone.empty()) alone = t.output_bytes();
    EXPECT_EQ(t.output_bytes(), alone) << n << " threads";
    t.reset_outputs();
    Ranks ranks(t.args, t.params, {3, RingPlacement::kZigzag, {}});
    for (const RankResult& r : ranks.run()) ASSERT_EQ(r.what, "");
    ASSERT_EQ(ranks.gather(), "");
    if (of_ranks.empty()) of_ranks = t.output_bytes();
    EXPECT_EQ(t.output_bytes(), of_ranks) << n << " threads";
  }
  set_num_threads(threads);
}

// The same bits whatever came before on the device: memory that is kept for the next call is not
// read before it is written.
TEST(Ring, SameBitsRunAfterRun) {
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = 40;
  c.causal = c.lse = true;
  CaseTensors t = make_tensors(c);
  for (const DeviceType device : test_devices()) {
    std::vector<std::byte> bits;
    for (int call = 0; call < 3; ++call) {
      t.reset_outputs();
      Ranks ranks(t.args, t.params, {3, RingPlacement::kZigzag, {}, device});
      for (const RankResult& r : ranks.run()) ASSERT_EQ(r.what, "");
      ASSERT_EQ(ranks.gather(), "");
      if (bits.empty()) bits = t.output_bytes();
      EXPECT_EQ(t.output_bytes(), bits) << name(device);
    }
  }
}

TEST(Ring, ASecondCallOnTheSameRing) {
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = 30;
  c.lse = true;
  CaseTensors t = make_tensors(c);
  const Judge judge(t.args, t.params);
  for (const DeviceType device : test_devices()) {
    Ranks ranks(t.args, t.params, {4, RingPlacement::kZigzag, {}, device});
    for (int call = 0; call < 3; ++call) expect_results(t, judge, ranks);
  }
}

}  // namespace
}  // namespace attend::testing
