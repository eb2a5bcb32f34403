// What each strategy's metadata means to a kernel, and how bad fields are refused.
#include "attend/strategy_metadata.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/support/thrown.h"

namespace attend {
namespace {

using testing::thrown;

// Two requests.
struct Fields {
  std::vector<int32_t> cu{0, 4, 8}, pair{1, 2}, three{1, 2, 3};
  std::vector<float> probs = std::vector<float>(16);
  TensorView starts = contiguous(cu.data(), DType::kI32, {3});
  TensorView two = contiguous(pair.data(), DType::kI32, {2});
  TensorView many = contiguous(three.data(), DType::kI32, {3});
};

struct Meaning {
  SeqLayout layout;
  MaskSpec mask;
  explicit Meaning(const AttnMetadata& m) { m.apply_to(layout, mask); }
};

template <class M>
M with_requests(const Fields& f) {
  M m;
  m.cu_seqlens_q = f.starts;
  return m;
}

TEST(StrategyMetadata, EachHasItsName) {
  EXPECT_EQ(AttnMetadata().strategy(), "auto_regressive");
  EXPECT_EQ(D2fMetadata().strategy(), "d2f");
  EXPECT_EQ(MultiBdMetadata().strategy(), "multi_bd");
  EXPECT_EQ(DmaxMetadata().strategy(), "dmax");
  EXPECT_EQ(FastDllmV2Metadata().strategy(), "fast_dllm_v2");
  EXPECT_EQ(DiffusionGemmaMetadata().strategy(), "diffusion_gemma");
}

TEST(StrategyMetadata, BlocksReplaceTheCausalRule) {
  const Fields f;
  auto m = with_requests<D2fMetadata>(f);
  m.block_size = 4;
  m.prefix_lens = f.two;
  m.block_origin = f.two;
  m.valid_q_lens = f.two;
  EXPECT_NO_THROW(m.validate());
  const Meaning meaning(m);
  EXPECT_FALSE(meaning.mask.causal);
  EXPECT_EQ(meaning.mask.block_size, 4);
  EXPECT_EQ(meaning.mask.prefix_lens.data, f.two.data);
  EXPECT_EQ(meaning.mask.block_origin.data, f.two.data);
  EXPECT_EQ(meaning.layout.seqused_q.data, f.two.data);
  EXPECT_EQ(meaning.layout.cu_seqlens_q.data, f.starts.data);
}

TEST(StrategyMetadata, GemmasPromptsAreCausalByTokensAndItsHolesHide) {
  const Fields f;
  auto m = with_requests<DiffusionGemmaMetadata>(f);
  m.hole_starts = m.hole_ends = f.two;
  m.prefix_causal = true;
  EXPECT_NO_THROW(m.validate());
  const Meaning prompt(m);
  EXPECT_TRUE(prompt.mask.causal);
  EXPECT_EQ(prompt.mask.block_size, 0);
  EXPECT_TRUE(prompt.mask.hole_starts);
  m.prefix_causal = false;
  EXPECT_FALSE(Meaning(m).mask.causal);
  EXPECT_EQ(Meaning(m).mask.block_size, 32);
  m.hole_ends = {};
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("hole_ends is absent, expected both"));
}

TEST(StrategyMetadata, BadFieldsAreNamed) {
  const Fields f;
  auto m = with_requests<MultiBdMetadata>(f);
  m.block_size = 0;
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("block_size is 0, expected 1 or more"));
  m = with_requests<MultiBdMetadata>(f);
  m.buffer_blocks = -1;
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("buffer_blocks is -1"));
  for (auto [field, words] :
       {std::pair{&BlockDiffusionMetadata::prefix_lens, "prefix_lens dim 0 is 3"},
        {&BlockDiffusionMetadata::block_origin, "block_origin dim 0 is 3"},
        {&BlockDiffusionMetadata::valid_q_lens, "valid_q_lens dim 0 is 3"}}) {
    m = with_requests<MultiBdMetadata>(f);
    m.*field = f.many;
    EXPECT_TRUE(thrown([&] { m.validate(); }).says(words));
  }
  AttnMetadata plain;
  plain.cu_seqlens_q = f.starts;
  plain.state_slots = f.many;
  EXPECT_TRUE(thrown([&] { plain.validate(); }).says("state_slots dim 0 is 3, expected 2"));
}

TEST(StrategyMetadata, ABlendNeedsAllItsTensors) {
  Fields f;
  auto m = with_requests<DmaxMetadata>(f);
  bool mask[8] = {};
  std::vector<int32_t> ids(16);
  m.merge_mask = contiguous(mask, DType::kBool, {8});
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("expected merge_topk_ids, merge_topk_probs and"));
  m.merge_topk_ids = contiguous(ids.data(), DType::kI32, {8, 2});
  m.merge_topk_probs = contiguous(f.probs.data(), DType::kF32, {8, 2});
  m.merge_residual_probs = contiguous(f.probs.data(), DType::kF32, {8});
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("merge_mask_token_id is -1"));
  m.merge_mask_token_id = 1;
  EXPECT_NO_THROW(m.validate());
  m.merge_weight = -std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("merge_weight"));
  m.merge_weight = 1;
  m.merge_topk_probs.shape[1] = 1;
  EXPECT_TRUE(thrown([&] { m.validate(); }).says("merge_topk_probs dim 1 is 1, expected 2"));
}

}  // namespace
}  // namespace attend
