// Rows and keys one below, on and one above every tile size, under each rule that moves the
// diagonal: the borders of tiles are where a mask is first wrong.
#include <gtest/gtest.h>

#include "attend/error.h"
#include "tests/kernels/rows.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

enum class Rule { kBottomRight, kTopLeft, kStarts, kWindow };
const char* rule_name(Rule rule) {
  constexpr const char* kNames[] = {"bottom_right", "top_left", "q_start", "window"};
  return kNames[static_cast<int>(rule)];
}

AttentionCase edge(int64_t rows, int64_t keys, Rule rule, OpId op) {
  AttentionCase c;
  c.label = "edge";
  c.seqlen_q = rows, c.seqlen_k = keys, c.head_dim = 8;
  c.lse = c.causal = true;
  constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16};
  c.dtype = kDTypes[(rows + keys) % 3];
  c.diagonal = rule == Rule::kTopLeft ? Diagonal::kTopLeft : Diagonal::kBottomRight;
  c.q_start = rule == Rule::kStarts;
  if (rule == Rule::kWindow) c.causal = false, c.window_left = 17, c.window_right = 4;
  if (op == OpId::kPaged) c.family = Family::kPaged, c.page_size = 16, c.k_lens = {keys};
  return c;
}

// Every row of the operators that take the case; how many did.
int run_rows(const AttentionCase& c, CaseTensors& t) {
  SCOPED_TRACE(name(c));
  const Judge judge(t.args, t.params);
  int calls = 0;
  for (OpId op : {OpId::kFlash, OpId::kSplash, OpId::kPaged}) {
    if (!in_domain(op, c)) continue;
    for (const AttentionKernel& row : test_rows(op)) {
      t.reset_outputs();
      try {
        run_row(row, t.args, t.params);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
        continue;
      }
      ++calls;
      const auto verdicts = judge.compare(t.args);
      EXPECT_TRUE(all_ok(verdicts)) << row.name << "\n" << to_string(verdicts);
    }
  }
  return calls;
}

class TileEdges : public ::testing::TestWithParam<Rule> {};

TEST_P(TileEdges, OfRowsAndOfKeys) {
  std::vector<int64_t> edges = {1, 2};
  for (int64_t tile : {16, 32, 48, 64, 128}) edges.insert(edges.end(), {tile - 1, tile, tile + 1});
  const bool full = tier_from_environment() == Tier::kFull;
  int calls = 0;
  for (size_t n = 0; n < edges.size(); ++n) {
    for (size_t m = 0; m < edges.size(); ++m) {
      if (!full && (n + m) % 2 == 1) continue;  // half of the board; neighbours lie diagonally
      for (OpId cache : {OpId::kFlash, OpId::kPaged}) {
        const AttentionCase c = edge(edges[n], edges[m], GetParam(), cache);
        if (cache == OpId::kPaged && c.diagonal == Diagonal::kTopLeft) continue;
        CaseTensors t = make_tensors(c);
        calls += run_rows(c, t);
      }
    }
  }
  EXPECT_GT(calls, 250 * static_cast<int>(test_devices().size()));
}

INSTANTIATE_TEST_SUITE_P(Rows, TileEdges,
                         ::testing::Values(Rule::kBottomRight, Rule::kTopLeft, Rule::kStarts,
                                           Rule::kWindow),
                         [](const auto& p) { return std::string(rule_name(p.param)); });

// A step of keys inside a hole is left out; one key before or behind it is not.
TEST(HoleEdges, OfKeys) {
  const bool full = tier_from_environment() == Tier::kFull;
  constexpr int32_t kBegins[] = {0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65},
                    kEnds[] = {63, 64, 65, 127, 128, 129};
  int calls = 0;
  for (int64_t rows : {2, 40})  // kernels of their own
    for (size_t n = 0; n < std::size(kBegins); ++n)
      for (size_t m = 0; m < std::size(kEnds); ++m) {
        if (kBegins[n] >= kEnds[m] || (!full && (n + m) % 2 == 1)) continue;
        AttentionCase c = edge(rows, 130, Rule::kBottomRight, OpId::kFlash);
        c.dtype = m % 4 < 2 ? DType::kBF16 : DType::kF16;
        c.hole = true;
        CaseTensors t = make_tensors(c, Fill::kPlain);  // the hole is to be another
        *static_cast<int32_t*>(t.params.mask.hole_starts.data) = kBegins[n];
        *static_cast<int32_t*>(t.params.mask.hole_ends.data) = kEnds[m];
        SCOPED_TRACE("hole of keys " + std::to_string(kBegins[n]) + " to " +
                     std::to_string(kEnds[m]));
        calls += run_rows(c, t);
      }
  EXPECT_GT(calls, 100 * static_cast<int>(test_devices().size()));
}

// The corners of a tile decide what splash's plan says of it: rows that see all but its last key, or
// nothing but that.
TEST(PlanEdges, OfKeys) {
  int calls = 0;
  for (int64_t rows : {3, 130})
    for (int64_t keys = 126; keys <= 132; ++keys)
      for (int32_t window : {-1, 0, 2}) {
        AttentionCase c = edge(rows, keys, Rule::kBottomRight, OpId::kSplash);
        c.window_left = window;
        CaseTensors t = make_tensors(c);
        calls += run_rows(c, t);
      }
  EXPECT_GT(calls, 80 * static_cast<int>(test_devices().size()));
}

// Heads of one kv head, or of several, of which each skips tiles that others execute.
TEST(PlanEdges, OfHeadsThatDiffer) {
  int calls = 0;
  for (int64_t rows : {1, 3, 40})
    for (int64_t kv_heads : {2, 8}) {
      AttentionCase c;
      c.label = "heads";
      c.dtype = kv_heads == 2 ? DType::kF32 : DType::kBF16;
      c.seqlen_q = rows, c.seqlen_k = 1100, c.heads = 8, c.kv_heads = kv_heads, c.head_dim = 32;
      c.lse = true;
      c.block_mask = Spread::kHeadsRowsKeys;
      c.block_mask_q = c.block_mask_k = 128;
      c.block_mask_quarters = 1;
      CaseTensors t = make_tensors(c);
      calls += run_rows(c, t);
    }
  EXPECT_GE(calls, 6 * static_cast<int>(test_devices().size()));
}

}  // namespace
}  // namespace attend::testing
