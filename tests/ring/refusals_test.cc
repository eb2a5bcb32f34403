// What ring refuses, and that a rank which fails never leaves the others waiting.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <mutex>

#include "tests/ring/ranks.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

AttentionCase small() {
  AttentionCase c;
  c.batch = 2;
  c.seqlen_q = 12;
  c.seqlen_k = 16;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.lse = true;
  return c;
}

class FarTransport final : public RingTransport {
 public:
  FarTransport(int32_t rank, int32_t size) : rank_(rank), size_(size) {}
  int32_t rank() const noexcept override { return rank_; }
  int32_t size() const noexcept override { return size_; }
  bool reaches(DeviceType) const noexcept override { return false; }
  Status start(const void*, uint64_t, void*, uint64_t, void*) override { return {}; }
  Status wait(void*) override { return {}; }
  void abort(const char* why) noexcept override { why_ = why; }
  std::string why_;

 private:
  int32_t rank_, size_;
};

TEST(RingRefusals, OfTheOperator) {
  const auto refused = [](auto&& spoil, ErrorCode code) {
    CaseTensors t = make_tensors(small(), Fill::kPlain);
    spoil(t);
    const std::vector<std::byte> before = t.output_bytes();
    const Thrown error = thrown([&] { RingAttention().forward(t.args, t.params); });
    EXPECT_EQ(error.code, code) << error.what;
    EXPECT_EQ(t.output_bytes(), before) << error.what;
    EXPECT_EQ(RingAttention().supports(t.args, t.params, {}).message, error.what);
    return error.what;
  };
  FarTransport far(0, 2), none(0, 0), beyond(2, 2);
  EXPECT_EQ(refused([](CaseTensors& t) { t.params.ring_placement = RingPlacement::kZigzag; },
                    ErrorCode::kInvalidArgument),
            "ring: ring_placement is zigzag and ring_transport is absent, expected it only with "
            "ranks to place rows on; one process holds all rows in their order");
  EXPECT_EQ(refused([](CaseTensors& t) { t.params.ring_placement = static_cast<RingPlacement>(9); },
                    ErrorCode::kInvalidArgument),
            "ring: ring_placement is 9, expected contiguous or zigzag");
  EXPECT_EQ(refused([&](CaseTensors& t) { t.params.ring_transport = &none; },
                    ErrorCode::kInvalidArgument),
            "ring: ring_transport rank is 0 of 0, expected 0 to size - 1");
  EXPECT_EQ(refused([&](CaseTensors& t) { t.params.ring_transport = &beyond; },
                    ErrorCode::kInvalidArgument),
            "ring: ring_transport rank is 2 of 2, expected 0 to size - 1");
  EXPECT_EQ(
      refused([&](CaseTensors& t) { t.params.ring_transport = &far; }, ErrorCode::kUnsupported),
      "ring: ring_transport does not reach the memory of native, expected one that does; use a "
      "transport of that device");
  EXPECT_EQ(far.why_.rfind("rank 0: ring: ring_transport does not reach", 0), 0u) << far.why_;
  const Tensor weights = Tensor::empty(DType::kF32, {2, 4, 12, 16});
  EXPECT_EQ(
      refused([&](CaseTensors& t) { t.args.weights = weights; }, ErrorCode::kUnsupported),
      "ring: weights are asked for, expected none, as ring never materialises them; use vanilla");
  EXPECT_EQ(
      refused([&](CaseTensors& t) { t.args.scores = weights; }, ErrorCode::kUnsupported),
      "ring: scores are asked for, expected none, as ring never materialises them; use vanilla");
  EXPECT_EQ(
      refused([&](CaseTensors& t) { t.args.seq.block_table = weights; }, ErrorCode::kUnsupported),
      "ring: block_table is given, expected it only with paged; use that operator");
  EXPECT_EQ(refused(
                [&](CaseTensors& t) {
                  t.params.dropout_p = 0.5f;
                  t.params.deterministic = false;
                },
                ErrorCode::kInvalidArgument),
            "ring: dropout_seed is absent, expected it with dropout_p > 0 and deterministic off");
}

// A question is not a call: it neither waits for other ranks nor lets them go.
TEST(RingRefusals, AskingDoesNotAbort) {
  CaseTensors t = make_tensors(small(), Fill::kPlain);
  FarTransport far(0, 2);
  t.params.ring_transport = &far;
  EXPECT_FALSE(RingAttention().supports(t.args, t.params, {}));
  EXPECT_EQ(far.why_, "");
}

TEST(RingRefusals, OthersRefuseThePlacement) {
  CaseTensors t = make_tensors(small(), Fill::kPlain);
  t.params.ring_placement = RingPlacement::kZigzag;
  EXPECT_EQ(thrown([&] { FlashAttention().forward(t.args, t.params); }).what,
            "flash: ring_placement is zigzag, expected it only with ring; use that operator");
}

class OneBadRank : public ::testing::Test {
 protected:
  // Three ranks, rank 1 with a call of another kind: all fail, rank 1 with `own`, the others with a
  // text that holds `others`. Nothing is written.
  static void expect(const std::function<void(Ranks&)>& spoil, const std::string& own,
                     const std::string& others,
                     RingPlacement placement = RingPlacement::kContiguous,
                     const AttentionCase& c = small()) {
    CaseTensors t = make_tensors(c, Fill::kPlain);
    for (const DeviceType device : test_devices()) {
      Ranks ranks(t.args, t.params, {3, placement, {}, device});
      spoil(ranks);
      const std::vector<RankResult> results = ranks.run();
      for (int32_t r = 0; r < 3; ++r) {
        const RankResult& result = results[static_cast<size_t>(r)];
        EXPECT_NE(result.code, ErrorCode::kOk) << r;
        EXPECT_NE(result.what.find(r == 1 ? own : others), std::string::npos)
            << "rank " << r << ": " << result.what;
        EXPECT_TRUE(ranks.untouched(r)) << r;
      }
    }
  }
};

TEST_F(OneBadRank, RefusedByTheOperator) {
  expect([](Ranks& r) { r.args(1).k.shape[3] = 7; }, "ring: k dim 3 is 7, expected 8",
         "the ring was aborted: rank 1: ring: k dim 3 is 7, expected 8 (head_dim of q)");
  expect([](Ranks& r) { r.params(1).softcap = -1; }, "ring: softcap is -1",
         "the ring was aborted: rank 1: ring: softcap is -1");
}

TEST_F(OneBadRank, IsOnAnotherDevice) {
  CaseTensors t = make_tensors(small(), Fill::kPlain);
  Ranks ranks(t.args, t.params, {3, RingPlacement::kContiguous, {}});
  ranks.args(1).q.device = {DeviceType::kCuda, 7};
  const std::vector<RankResult> results = ranks.run();
  EXPECT_NE(results[1].code, ErrorCode::kOk);
  for (const size_t r : {size_t{0}, size_t{2}})
    EXPECT_NE(results[r].what.find("the ring was aborted: rank 1: "), std::string::npos)
        << results[r].what;
}

TEST_F(OneBadRank, NeverComes) {
  CaseTensors t = make_tensors(small(), Fill::kPlain);
  for (const DeviceType device : test_devices()) {
    Ranks ranks(t.args, t.params, {3, RingPlacement::kContiguous, {}, device});
    const auto results = ranks.run([&](int32_t rank) {
      if (rank != 1) return false;
      ranks.ring().abort("rank 1 was needed elsewhere");
      return true;
    });
    for (size_t r : {size_t{0}, size_t{2}})
      EXPECT_NE(results[r].what.find("the ring was aborted: rank 1 was needed elsewhere"),
                std::string::npos)
          << results[r].what;
  }
}

TEST_F(OneBadRank, WithoutMemory) {
  if (test_devices().front() != DeviceType::kNative) GTEST_SKIP() << "of native alone";
  // What the rows gather in, what the threads work in, and the two blocks.
  for (const int granted : {0, 1, 2, 3}) {
    struct Miser {
      std::mutex mutex;
      int left;
    } miser{{}, granted};
    expect(
        [&](Ranks& r) {
          r.context(1).allocator = {
              [](void* user, Device, uint64_t bytes, uint64_t alignment, void*) -> void* {
                auto& self = *static_cast<Miser*>(user);
                const std::lock_guard lock(self.mutex);
                if (self.left-- <= 0) return nullptr;
                return std::aligned_alloc(alignment,
                                          (bytes + alignment - 1) / alignment * alignment);
              },
              [](void*, Device, void* data, uint64_t, void*) { std::free(data); }, &miser};
        },
        "scratch memory is not to be had", "rank 1: scratch memory is not to be had");
  }
}

// Calls that pass every check alone and do not fit together.
TEST_F(OneBadRank, DoesNotFit) {
  const std::string with_one = "is another on rank 1, expected the same on all ranks",
                    with_none = "is another on rank 0, expected the same on all ranks";
  const auto fits_not = [&](const std::string& what, const std::function<void(Ranks&)>& spoil,
                            const AttentionCase& c = small()) {
    // Whoever is first to see it says so, the others may learn it from the aborted ring.
    CaseTensors t = make_tensors(c, Fill::kPlain);
    for (const DeviceType device : test_devices()) {
      Ranks ranks(t.args, t.params, {3, RingPlacement::kContiguous, {}, device});
      spoil(ranks);
      for (const RankResult& r : ranks.run()) {
        EXPECT_NE(r.code, ErrorCode::kOk);
        EXPECT_TRUE(r.what.find(what + " " + with_one) != std::string::npos ||
                    r.what.find(what + " " + with_none) != std::string::npos)
            << r.what;
      }
      for (int32_t r = 0; r < 3; ++r) EXPECT_TRUE(ranks.untouched(r));
    }
  };
  fits_not("batch", [](Ranks& r) {
    AttentionArgs& a = r.args(1);
    a.q.shape[0] = a.k.shape[0] = a.v.shape[0] = a.out.shape[0] = a.lse.shape[0] = 1;
  });
  fits_not("q heads", [](Ranks& r) {
    r.args(1).q.shape[2] = r.args(1).out.shape[2] = r.args(1).lse.shape[1] = 2;
  });
  fits_not("kv_heads", [](Ranks& r) { r.args(1).k.shape[2] = r.args(1).v.shape[2] = 1; });
  fits_not("head_dim", [](Ranks& r) { r.args(1).q.shape[3] = r.args(1).k.shape[3] = 4; });
  fits_not("v_dim", [](Ranks& r) { r.args(1).v.shape[3] = r.args(1).out.shape[3] = 4; });
  fits_not("ring_placement", [](Ranks& r) { r.params(1).ring_placement = RingPlacement::kZigzag; });
  AttentionCase half = small();
  half.dtype = DType::kF16;
  fits_not(
      "q dtype",
      [](Ranks& r) {
        AttentionArgs& a = r.args(1);
        a.q.dtype = a.k.dtype = a.v.dtype = a.out.dtype = DType::kBF16;
      },
      half);
}

TEST_F(OneBadRank, HasNoSegments) {
  AttentionCase c = small();
  c.segments = true;
  CaseTensors t = make_tensors(c, Fill::kPlain);
  for (const DeviceType device : test_devices()) {
    Ranks ranks(t.args, t.params, {2, RingPlacement::kContiguous, {}, device});
    ranks.params(1).mask.q_segment_ids = ranks.params(1).mask.kv_segment_ids = {};
    for (const RankResult& r : ranks.run())
      EXPECT_NE(r.what.find("segment ids are given on one of this rank and rank"),
                std::string::npos)
          << r.what;
  }
}

TEST_F(OneBadRank, HoldsRowsOfNoZigzag) {
  const auto drop_a_row = [](Ranks& r) {
    r.args(1).q.shape[1] = r.args(1).out.shape[1] = r.args(1).lse.shape[2] -= 1;
  };
  CaseTensors t = make_tensors(small(), Fill::kPlain);
  for (const DeviceType device : test_devices()) {
    Ranks ranks(t.args, t.params, {3, RingPlacement::kZigzag, {}, device});
    drop_a_row(ranks);
    for (const RankResult& r : ranks.run())
      EXPECT_NE(r.what.find("rows of q on rank"), std::string::npos) << r.what;
  }
}

TEST_F(OneBadRank, UsesKeysBehindOnesThatAreNot) {
  AttentionCase c = small();
  c.seqused_k = true;
  CaseTensors t = make_tensors(c, Fill::kPlain);
  for (const DeviceType device : test_devices()) {
    Ranks ranks(t.args, t.params, {2, RingPlacement::kContiguous, {}, device});
    auto* first = static_cast<int64_t*>(ranks.args(0).seq.seqused_k.data);
    auto* second = static_cast<int64_t*>(ranks.args(1).seq.seqused_k.data);
    first[1] = 3;  // of 8
    second[1] = 2;
    for (const RankResult& r : ranks.run())
      EXPECT_NE(r.what.find("seqused_k on rank 0 is not the keys"), std::string::npos) << r.what;
  }
}

TEST_F(OneBadRank, HasAMaskOfItsOwnKeysAlone) {
  AttentionCase c = small();
  c.keep = Spread::kRowsKeys;
  expect([](Ranks& r) { r.params(1).mask.keep.shape[3] = 5; },
         "keep's last dim is neither 1 nor 16, expected the keys of the longest whole sequence",
         "the ring was aborted: rank 1: ", RingPlacement::kContiguous, c);
  c.keep = Spread::kNone;
  c.bias = Spread::kKeys;
  expect([](Ranks& r) { r.params(1).bias.shape[3] = 5; },
         "bias's last dim is neither 1 nor 16, expected the keys of the longest whole sequence",
         "the ring was aborted: rank 1: ", RingPlacement::kZigzag, c);
}

TEST_F(OneBadRank, AfterAResetTheRingWorksAgain) {
  CaseTensors t = make_tensors(small(), Fill::kPlain);
  for (const DeviceType device : test_devices()) {
    Ranks ranks(t.args, t.params, {3, RingPlacement::kZigzag, {}, device});
    ranks.params(1).softcap = -1;
    for (const RankResult& r : ranks.run()) EXPECT_NE(r.what, "");
    ranks.params(1).softcap = 0;
    for (const RankResult& r : ranks.run()) EXPECT_NE(r.what, "") << "an aborted ring stays so";
    ranks.ring().reset();
    for (const RankResult& r : ranks.run()) EXPECT_EQ(r.what, "");
  }
}

}  // namespace
}  // namespace attend::testing
