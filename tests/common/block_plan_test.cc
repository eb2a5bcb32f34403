// Splash's plan against every pair of its tiles, looked up one by one in the mask's definition.
#include "ops/splash/block_plan.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/oracle.h"
#include "tests/support/tensors.h"

namespace attend {
namespace {

using testing::AttentionCase;
using testing::Oracle;
using testing::Spread;

AttentionCase base() {
  AttentionCase c;
  c.batch = 2;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 1;
  c.seqlen_q = 21;
  c.seqlen_k = 37;
  return c;
}

// The call in the form that the operator hands to kernels.
AttentionParams resolved(AttentionParams p) {
  if (p.mask.diagonal == Diagonal::kOperatorDefault) p.mask.diagonal = Diagonal::kBottomRight;
  return p;
}

TileKind kind_by_pairs(const Oracle& oracle, int64_t b, int64_t h, TileShape shape, int64_t row,
                       int64_t key) {
  bool any = false, all = true;
  for (int64_t i = row * shape.rows; i < std::min(oracle.seqlen_q(b), (row + 1) * shape.rows); ++i)
    for (int64_t j = key * shape.keys; j < std::min(oracle.seqlen_k(b), (key + 1) * shape.keys);
         ++j) {
      const bool sees = oracle.sees(b, h, i, j);
      any |= sees;
      all &= sees;
    }
  return !any ? TileKind::kSkip : all ? TileKind::kFull : TileKind::kPartial;
}

// exact: the plan finds every tile that can be skipped; else it may call some of them partial.
void expect_plan(const AttentionCase& c, TileShape shape, bool exact) {
  const auto t = testing::make_tensors(c);
  const AttentionParams params = resolved(t.params);
  const Oracle oracle(t.args, params);
  const BlockPlan plan(t.args, params, shape);
  BlockPlan::Counts counts;
  for (int64_t b = 0; b < oracle.batch(); ++b) {
    ASSERT_EQ(plan.row_tiles(b), (oracle.seqlen_q(b) + shape.rows - 1) / shape.rows);
    ASSERT_EQ(plan.key_tiles(b), (oracle.seqlen_k(b) + shape.keys - 1) / shape.keys);
    for (int64_t h = 0; h < oracle.heads(); ++h)
      for (int64_t row = 0; row < plan.row_tiles(b); ++row)
        for (int64_t key = 0; key < plan.key_tiles(b); ++key) {
          const TileKind want = kind_by_pairs(oracle, b, h, shape, row, key);
          const TileKind got = plan.kind(b, h, row, key);
          const bool careful = !exact && want == TileKind::kSkip && got == TileKind::kPartial;
          EXPECT_TRUE(got == want || careful)
              << name(c) << " " << shape.rows << "x" << shape.keys << " b " << b << " h " << h
              << " tile " << row << " " << key << " is " << static_cast<int>(got) << ", by pairs "
              << static_cast<int>(want);
          if (h >= plan.planes()) continue;
          ++(got == TileKind::kSkip   ? counts.skip
             : got == TileKind::kFull ? counts.full
                                      : counts.partial);
        }
  }
  EXPECT_EQ(plan.counts().skip, counts.skip);
  EXPECT_EQ(plan.counts().partial, counts.partial);
  EXPECT_EQ(plan.counts().full, counts.full);
  EXPECT_EQ(plan.counts().executed(), counts.partial + counts.full);
}

using Set = void (*)(AttentionCase&);
constexpr Set kWords[] = {[](AttentionCase& c) { c.causal = true; },
                          [](AttentionCase& c) {
                            c.causal = true;
                            c.diagonal = Diagonal::kTopLeft;
                          },
                          [](AttentionCase& c) {
                            c.block_size = 4;
                            c.block_origin = true;
                          },
                          [](AttentionCase& c) {
                            c.window_left = 3;
                            c.window_right = 5;
                          },
                          [](AttentionCase& c) {
                            c.causal = true;
                            c.q_start = true;
                          },
                          [](AttentionCase& c) {
                            c.causal = true;
                            c.prefix = true;
                          },
                          [](AttentionCase& c) { c.hole = true; },
                          [](AttentionCase& c) { c.segments = true; },
                          [](AttentionCase& c) { c.keep = Spread::kRowsKeys; },
                          [](AttentionCase& c) { c.keep = Spread::kFull; },
                          [](AttentionCase& c) { c.keep = Spread::kBatchKeys; },
                          [](AttentionCase& c) {
                            c.block_mask = Spread::kRowsKeys;
                            c.block_mask_q = 6;
                            c.block_mask_k = 5;
                          },
                          [](AttentionCase& c) {
                            c.block_mask = Spread::kFull;
                            c.block_mask_q = c.block_mask_k = 8;
                          }};
constexpr TileShape kShapes[] = {{4, 4}, {8, 8}, {5, 7}, {16, 4}, {1, 1}, {128, 128}};

// Words that are ranges or masks are planned exactly where they stand alone.
TEST(BlockPlan, OfOneWordIsExact) {
  for (const Set word : kWords)
    for (const bool used : {false, true})
      for (const TileShape shape : kShapes) {
        AttentionCase c = base();
        word(c);
        c.seqused_q = c.seqused_k = used;
        // Of segments the plan compares ranges of ids alone.
        expect_plan(c, shape, !c.segments);
      }
}

// Together they never skip a pair that is visible, nor call a tile full that hides one.
TEST(BlockPlan, OfTwoWordsLosesNoPair) {
  for (const Set first : kWords)
    for (const Set second : kWords) {
      AttentionCase c = base();
      first(c);
      second(c);
      if (c.causal && c.block_size > 0) c.causal = c.prefix = false;
      expect_plan(c, {8, 8}, false);
      c.layout = testing::Layout::kRagged;
      expect_plan(c, {5, 7}, false);
    }
}

TEST(BlockPlan, HeadsShareAPlanUnlessAMaskDiffers) {
  const auto planes = [](Set word) {
    AttentionCase c = base();
    word(c);
    const auto t = testing::make_tensors(c);
    return BlockPlan(t.args, resolved(t.params), {8, 8}).planes();
  };
  EXPECT_EQ(planes([](AttentionCase& c) { c.keep = Spread::kRowsKeys; }), 1);
  EXPECT_EQ(planes([](AttentionCase& c) { c.keep = Spread::kBatchKeys; }), 1);
  EXPECT_EQ(planes([](AttentionCase& c) { c.keep = Spread::kFull; }), 2);
}

// Tiles never lie in two blocks of a block mask that they follow.
TEST(BlockPlan, TilesFollowABlockMask) {
  bool mask = true;
  AttentionParams p;
  EXPECT_EQ(plan_tile_shape(p).rows, 128);
  p.mask.block_mask = contiguous(&mask, DType::kBool, {1, 1});
  for (const auto& [block, tile] : {std::pair{64, 64},
                                    {32, 32},
                                    {96, 96},
                                    {128, 128},
                                    {16, 128},
                                    {33, 128},
                                    {256, 128},
                                    {1, 128}}) {
    p.mask.block_mask_q = p.mask.block_mask_k = block;
    EXPECT_EQ(plan_tile_shape(p).rows, tile) << block;
    EXPECT_EQ(plan_tile_shape(p).keys, tile) << block;
  }
}

}  // namespace
}  // namespace attend
