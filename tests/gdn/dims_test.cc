// Dimensions on both sides of what a kernel holds at once (128 and 256 key dims, slices of value
// dims), chunks on both sides of its tile of tokens, and the dimension that is refused in words.
#include <gtest/gtest.h>

#include "tests/gdn/tensors.h"
#include "tests/support/devices.h"
#include "tests/support/element.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

class GdnDims : public ::testing::TestWithParam<std::string> {
 protected:
  void expect_right(const GdnCase& c) const {
    GdnTensors t(c);
    const GdnGold gold = t.gold();
    run_gdn(GetParam(), t);
    const GdnAllowed allowed = gdn_allowed(c.dtype);
    EXPECT_LE(relative_rms(t.args.out, gold.out), allowed.out) << name(c);
    EXPECT_LE(relative_rms(t.kept_state(), gold.state), allowed.state) << name(c);
    EXPECT_EQ(t.damage(gold), "") << name(c);
  }
};
INSTANTIATE_TEST_SUITE_P(Rows, GdnDims, ::testing::ValuesIn(gdn_rows()),
                         [](const auto& p) { return test_name_of(p.param.c_str()); });

TEST_P(GdnDims, OfKeysAndValues) {
  for (const auto& [k_dim, v_dim] : {std::pair<int64_t, int64_t>{1, 1},
                                     {4, 32},
                                     {63, 31},
                                     {64, 33},
                                     {127, 16},
                                     {128, 128},
                                     {129, 17},
                                     {160, 64},
                                     {255, 15},
                                     {256, 256}})
    for (int64_t seqlen : {1, 19}) {
      GdnCase c;
      c.batch = 1;
      c.sizes = {1, 1, k_dim, v_dim};
      c.seqlen = seqlen;
      c.states = GdnStates::kApart;
      expect_right(c);
    }
}

TEST_P(GdnDims, OfTheWholeLayer) {
  for (const auto& [dtype, k_dim] : {std::pair<DType, int64_t>{DType::kF16, 128},
                                     {DType::kBF16, 128},
                                     {DType::kBF16, 192},
                                     {DType::kF32, 256}}) {
    GdnCase c;
    c.dtype = dtype;
    c.layout = GdnLayout::kRaggedI32;
    c.batch = 2;
    c.sizes = {1, 2, k_dim, 48};
    c.seqlen = 34;
    c.decay = GdnDecay::kGates;
    c.gated_beta = true;
    c.conv = GdnConv::kFourBias;
    c.conv_state = true;
    c.norm = GdnNorm::kLikeQ;
    expect_right(c);
  }
}

TEST_P(GdnDims, OfKeysWithADecayEach) {
  for (int64_t k_dim : {128, 200}) {
    GdnCase c;
    c.batch = 1;
    c.sizes = {1, 1, k_dim, 40};
    c.decay = GdnDecay::kChannelG;
    expect_right(c);
  }
}

TEST_P(GdnDims, OfChunks) {
  for (int32_t chunk : {2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 100}) {
    GdnCase c;
    c.batch = 1;
    c.seqlen = 70;
    c.chunk = chunk;
    expect_right(c);
  }
}

// A sequence that is cut between two chunks and resumed from its state has the bits of one pass,
// also where a chunk is not a whole number of a kernel's tiles.
TEST_P(GdnDims, OfChunksThatAreResumed) {
  for (int32_t chunk : {12, 24, 40}) {
    GdnCase c;
    c.batch = 1;
    c.seqlen = 90;
    c.chunk = chunk;
    GdnTensors t(c);
    run_gdn(GetParam(), t);
    const auto once = t.written_bytes();
    t.reset();
    for (int64_t first = 0; first < c.seqlen; first += chunk) {
      GdnArgs part = t.args;
      for (TensorView* x : {&part.q, &part.k, &part.v, &part.g, &part.beta, &part.out}) {
        x->data = address_of(*x, {0, first});
        x->shape[1] = std::min<int64_t>(chunk, c.seqlen - first);
      }
      run_gdn(GetParam(), part, t.params);
    }
    EXPECT_TRUE(t.written_bytes() == once) << name(c);
  }
}

TEST(GdnDimsRefused, OnDevicesBeyond256KeyDims) {
  GdnCase c;
  c.batch = 1;
  c.sizes = {1, 1, 257, 4};
  for (const GdnKernel& row : test_gdn_rows()) {
    if (row.device == DeviceType::kNative) continue;
    GdnTensors t(c);
    const Thrown e = thrown([&] { run_gdn(row.name, t); });
    EXPECT_EQ(e.code, ErrorCode::kUnsupported) << e.what;
    EXPECT_TRUE(e.says("k_dim is 257, supported 1 to 256")) << e.what;
  }
}

}  // namespace
}  // namespace attend::testing
