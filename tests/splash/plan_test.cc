// Splash's plan against the oracle's pairs: a tile that is skipped hides them all, a full one none;
// with one word alone the plan is exact, and what is executed can be counted by hand.
#include "ops/splash/block_plan.h"

#include <gtest/gtest.h>

#include "tests/kernels/rows.h"
#include "tests/support/oracle.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

// The words as kernels see them.
AttentionParams resolved(const CaseTensors& t) {
  AttentionParams p = t.params;
  if (p.bias && p.mask_with_bias == MaskWithBias::kBiasOnly) p.mask.keep = {};
  return p;
}

struct Pairs {
  int64_t seen = 0, all = 0;
};

// Of the tile's rows and keys in use; in every head if heads share the plan.
Pairs pairs_of(const Oracle& oracle, const BlockPlan& plan, int64_t b, int64_t head, int64_t r,
               int64_t n) {
  Pairs pairs;
  const int64_t rows = plan.shape().rows, keys = plan.shape().keys;
  const int64_t first = plan.planes() == 1 ? 0 : head,
                last = plan.planes() == 1 ? oracle.heads() : head + 1;
  for (int64_t h = first; h < last; ++h)
    for (int64_t i = r * rows; i < std::min((r + 1) * rows, oracle.seqlen_q(b)); ++i)
      for (int64_t j = n * keys; j < std::min((n + 1) * keys, oracle.seqlen_k(b)); ++j) {
        ++pairs.all;
        pairs.seen += oracle.sees(b, h, i, j);
      }
  return pairs;
}

// Calls visit(kind, pairs) for every tile of a plan.
template <class Visit>
void each_tile(const CaseTensors& t, TileShape shape, const Visit& visit) {
  const BlockPlan plan(t.args, resolved(t), shape);
  const Oracle oracle(t.args, t.params);
  for (int64_t b = 0; b < oracle.batch(); ++b)
    for (int64_t h = 0; h < plan.planes(); ++h)
      for (int64_t r = 0; r < plan.row_tiles(b); ++r)
        for (int64_t n = 0; n < plan.key_tiles(b); ++n)
          visit(plan.kind(b, h, r, n), pairs_of(oracle, plan, b, h, r, n));
}

TEST(Plan, OfEveryCaseHidesNothingThatARowSees) {
  int skipped = 0, full = 0;
  for (const AttentionCase& c : cases(tier_from_environment())) {
    if (!in_domain(OpId::kSplash, c)) continue;
    SCOPED_TRACE(name(c));
    const CaseTensors t = make_tensors(c, Fill::kPlain);
    for (const TileShape shape : {plan_tile_shape(t.params), TileShape{16, 16}, TileShape{5, 9}}) {
      int wrong = 0;
      each_tile(t, shape, [&](TileKind kind, const Pairs& pairs) {
        if (kind == TileKind::kSkip) ++skipped, wrong += pairs.seen > 0;
        if (kind == TileKind::kFull) ++full, wrong += pairs.seen < pairs.all;
      });
      EXPECT_EQ(wrong, 0) << shape.rows << " x " << shape.keys;
    }
  }
  EXPECT_GT(skipped, 1000);
  EXPECT_GT(full, 1000);
}

AttentionCase square(int64_t length) {
  AttentionCase c;
  c.seqlen_q = c.seqlen_k = length;
  c.head_dim = 1;
  return c;
}

TEST(Plan, OfOneWordIsExact) {
  std::vector<AttentionCase> list(8, square(150));
  list[0].causal = true;
  list[1].causal = true, list[1].window_left = 40;
  list[2].window_left = 20, list[2].window_right = 30;
  list[3].block_size = 16;
  list[4].block_size = 24, list[4].block_origin = list[4].q_start = true;
  list[5].hole = true;
  list[6].keep = Spread::kHeadsRowsKeys, list[6].heads = 2;
  list[7].family = Family::kSplash, list[7].block_mask = Spread::kRowsKeys,
  list[7].block_mask_q = 24, list[7].block_mask_k = 10;
  for (const AttentionCase& c : list) {
    SCOPED_TRACE(name(c));
    const CaseTensors t = make_tensors(c, Fill::kPlain);
    each_tile(t, {16, 16}, [](TileKind kind, const Pairs& pairs) {
      EXPECT_EQ(kind, pairs.seen == 0           ? TileKind::kSkip
                      : pairs.seen == pairs.all ? TileKind::kFull
                                                : TileKind::kPartial);
    });
  }
}

BlockPlan::Counts counts_of(const AttentionCase& c) {
  const CaseTensors t = make_tensors(c, Fill::kPlain);
  return BlockPlan(t.args, t.params, {128, 128}).counts();
}

TEST(Plan, CountsWhatIsExecuted) {
  AttentionCase causal = square(1024), window = square(1024), ids = square(1024);
  causal.causal = true;
  EXPECT_EQ(counts_of(causal).full, 28);  // below the diagonal of 8 x 8
  EXPECT_EQ(counts_of(causal).partial, 8);
  EXPECT_EQ(counts_of(causal).skip, 28);
  window.causal = true, window.window_left = 127;  // the diagonal and the tile before it
  EXPECT_EQ(counts_of(window).full, 0);
  EXPECT_EQ(counts_of(window).executed(), 8 + 7);
  // Four documents of 256 that see themselves alone, in two tiles each.
  CaseTensors t = make_tensors(ids, Fill::kPlain);
  std::vector<int32_t> documents(1024);
  for (size_t i = 0; i < 1024; ++i) documents[i] = static_cast<int32_t>(i / 256);
  t.params.mask.q_segment_ids = t.params.mask.kv_segment_ids =
      contiguous(documents.data(), DType::kI32, {1, 1024});
  const BlockPlan::Counts counts = BlockPlan(t.args, t.params, {128, 128}).counts();
  EXPECT_EQ(counts.full, 4 * 2 * 2);
  EXPECT_EQ(counts.executed(), 4 * 2 * 2);
}

}  // namespace
}  // namespace attend::testing
