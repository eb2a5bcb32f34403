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

AttentionCase paged() {
  AttentionCase c;
  c.family = Family::kPaged;
  c.batch = 2, c.seqlen_q = 3, c.seqlen_k = 21, c.page_size = 4, c.head_dim = 8;
  c.k_lens = {21, 10};
  return c;
}

// The keys behind live table entries are numbers, everything else is NaN, in every order of pages.
TEST(Tensors, DeadPagesAndTailsAreNaN) {
  for (PageOrder order : {PageOrder::kShuffled, PageOrder::kInOrder, PageOrder::kReversed}) {
    AttentionCase c = paged();
    c.page_order = order;
    const CaseTensors t = make_tensors(c);
    int64_t numbers = 0;
    for (int64_t page = 0; page < t.args.k.dim(0); ++page)
      for (int64_t slot = 0; slot < 4; ++slot)
        numbers += !std::isnan(load(t.args.v, {page, slot, 0, 7}));
    EXPECT_EQ(numbers, 31);
    EXPECT_GT(t.args.k.dim(0), 9) << "pages of no request";
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t j = 0; j < c.k_lens[static_cast<size_t>(b)]; ++j) {
        const auto page = static_cast<int64_t>(load(t.args.seq.block_table, {b, j / 4}));
        EXPECT_FALSE(std::isnan(load(t.args.k, {page, j % 4, 0, 0}))) << b << " " << j;
      }
  }
}

TEST(Tensors, OfSharedPrefixesShareHalfOfTheirPages) {
  AttentionCase c = paged();
  c.page_order = PageOrder::kSharedPrefix;
  const CaseTensors t = make_tensors(c);
  EXPECT_EQ(load(t.args.seq.block_table, {0, 0}), load(t.args.seq.block_table, {1, 0}));
  EXPECT_NE(load(t.args.seq.block_table, {0, 2}), load(t.args.seq.block_table, {1, 2}));
}

TEST(Tensors, GuardsSeeAStoreIntoAnotherSlot) {
  AttentionCase c = paged();
  c.own_rows = OwnRows::kSomeStored;
  CaseTensors t = make_tensors(c);
  std::vector<bool> addressed(static_cast<size_t>(t.args.k.dim(0) * 4), false);
  for (int64_t token = 0; token < 6; ++token) {
    const int64_t slot = load_int(t.args.seq.slot_mapping, token);
    if (slot >= 0) addressed[static_cast<size_t>(slot)] = true;
  }
  for (int64_t slot = 0; slot < t.args.k.dim(0) * 4; ++slot) {
    store(DType::kF32, address_of(t.args.v, {slot / 4, slot % 4, 0, 3}), 9);
    EXPECT_EQ(t.damaged_guard() == "", addressed[static_cast<size_t>(slot)]) << slot;
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
