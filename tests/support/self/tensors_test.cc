#include "tests/support/tensors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/element.h"
#include "tests/support/safetensors.h"

namespace attend::testing {
namespace {

TEST(Tensors, EqualSeedsGiveEqualBits) {
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = 5;
  CaseTensors a = make_tensors(c, Fill::kPlain), b = make_tensors(c, Fill::kPlain),
              other = make_tensors(c, Fill::kPlain, 2);
  EXPECT_EQ(load(a.args.k, {0, 3, 0, 7}), load(b.args.k, {0, 3, 0, 7}));
  EXPECT_NE(load(a.args.k, {0, 3, 0, 7}), load(other.args.k, {0, 3, 0, 7}));
}

TEST(Tensors, UnseenKeysAndValuesAreNaN) {
  AttentionCase c;
  c.seqlen_q = 2;
  c.seqlen_k = 9;
  c.causal = true;
  c.window_left = 2;
  CaseTensors t = make_tensors(c);
  for (int64_t j = 0; j < 9; ++j) {
    const bool seen = j >= 5;  // rows stand at 7 and 8
    EXPECT_EQ(std::isnan(load(t.args.k, {0, j, 0, 0})), !seen) << j;
    EXPECT_EQ(std::isnan(load(t.args.v, {0, j, 0, 63})), !seen) << j;
  }
}

TEST(Tensors, GuardsSeeAWriteBesideAndBeyond) {
  AttentionCase c;
  c.batch = 2;
  c.seqlen_q = c.seqlen_k = 8;
  c.strides = Strides::kLastStep2;
  c.seqused_q = true;
  CaseTensors t = make_tensors(c);
  EXPECT_EQ(t.damaged_guard(), "");
  auto* out = static_cast<float*>(t.args.out.data);
  out[0] = 1;  // an element; whether row 0 is in use depends on the draw
  out[1] = 1;  // between two elements
  EXPECT_NE(t.damaged_guard(), "");
  t.reset_outputs();
  EXPECT_EQ(t.damaged_guard(), "");
  out[-1] = 1;
  EXPECT_NE(t.damaged_guard(), "");
  t.reset_outputs();
  for (int64_t b = 0; b < 2; ++b) {
    const int64_t used = load_int(t.args.seq.seqused_q, b);
    if (used == 8) continue;
    store(DType::kF32, address_of(t.args.out, {b, used, 0, 0}), 1);
    EXPECT_NE(t.damaged_guard(), "") << "row beyond seqused_q";
    t.reset_outputs();
  }
}

TEST(Tensors, OddBasesAreAlignedToAnElementOnly) {
  AttentionCase c;
  c.strides = Strides::kOddBase;
  c.dtype = DType::kBF16;
  CaseTensors t = make_tensors(c);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.args.k.data) % 4, 2u);
}

TEST(Safetensors, ReadsTheRealActivations) {
  const auto tensors = read_safetensors(ATTEND_TEST_DATA "/minilm_attention.safetensors");
  ASSERT_EQ(tensors.count("layer0.query"), 1u);
  EXPECT_EQ(to_string(tensors.at("layer0.query").view()), "f32[4, 30, 12, 32] on native:0");
  EXPECT_EQ(load_int(tensors.at("lengths"), 3), 30);
}

}  // namespace
}  // namespace attend::testing
