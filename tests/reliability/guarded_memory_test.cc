// Contract 4: no address outside a tensor is read or written, and what stands around one reaches no
// result. Every tensor of a call lies between pages that fault, flush with one or the other.
#include <gtest/gtest.h>

#include "tests/reliability/guarded_calls.h"

namespace attend::testing {
namespace {

class GuardedMemoryTest : public ::testing::TestWithParam<OpId> {};
INSTANTIATE_TEST_SUITE_P(Native, GuardedMemoryTest, ::testing::ValuesIn(kAttention),
                         [](const auto& p) { return name(p.param); });

// Memory as the tests of every kernel have it, then between guard pages: the same bits.
void expect_same(const AttentionKernel& row, const AttentionCase& c, const CaseTensors& t) {
  const AttentionArgs& plain = t.args;
  GuardedCall at_end(t.args, t.params, GuardedMemory::Edge::kEnd, 0xff);
  GuardedCall at_begin(t.args, t.params, GuardedMemory::Edge::kBegin, 0x7f);
  run_row(row, plain, t.params);
  run_row(row, at_end.args, at_end.params);
  EXPECT_EQ(at_end.first_difference(), "") << row.name << " " << name(c) << ", before a page";
  run_row(row, at_begin.args, at_begin.params);
  EXPECT_EQ(at_begin.first_difference(), "") << row.name << " " << name(c) << ", behind a page";
}

// Every eighth of the shared cases: all words, dense, ragged and paged, all strides.
TEST_P(GuardedMemoryTest, EveryWord) {
  std::vector<AttentionCase> some;
  size_t n = 0;
  for (const AttentionCase& c : cases(tier_from_environment()))
    if (tier_from_environment() == Tier::kFull || n++ % 8 == 0) some.push_back(c);
  EXPECT_GT(each_guarded_call(GetParam(), some, expect_same), 20);
}

// Rows that are no multiple of a vector: every kind of element, dims around the vectors of each
// instruction set. Contiguous rows end where the tensor does.
std::vector<AttentionCase> odd_dims(OpId op) {
  std::vector<AttentionCase> list;
  const bool cache = op == OpId::kPaged || op == OpId::kDecode;
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI8}) {
    if (size_bytes(dtype) == 1 && !cache) continue;
    for (const int64_t dim : {1, 3, 7, 8, 9, 15, 17, 31, 32, 33, 47, 63, 65, 129, 255}) {
      AttentionCase c = blank(op == OpId::kPaged    ? Family::kPaged
                              : op == OpId::kDecode ? Family::kDecode
                                                    : Family::kPlain);
      c.dtype = size_bytes(dtype) == 1 ? dim % 2 ? DType::kBF16 : DType::kF16 : dtype;
      if (size_bytes(dtype) == 1) c.k_cache = c.v_cache = dtype;
      c.batch = 1;
      c.heads = c.kv_heads = 1;
      c.head_dim = dim;
      c.v_dim = dim > 1 ? dim - 1 : 2;
      c.seqlen_q = op == OpId::kDecode ? 1 : 5;
      c.seqlen_k = 17;
      c.causal = op == OpId::kSplash;
      if (op == OpId::kPaged) c.page_size = 1 + dim % 4;
      list.push_back(c);
      // Many rows pack the keys, few read them where they lie: another path.
      AttentionCase many = c;
      (op == OpId::kDecode ? many.heads : many.seqlen_q) = 50;
      list.push_back(many);
      // Rows that bring their own keys are converted as they come: another path.
      if (op != OpId::kPaged) continue;
      c.own_rows = dim % 3 == 0 ? OwnRows::kNotStored : OwnRows::kStored;
      list.push_back(c);
    }
  }
  return list;
}

TEST_P(GuardedMemoryTest, OddDimsOfEveryElementType) {
  EXPECT_GT(each_guarded_call(GetParam(), odd_dims(GetParam()), expect_same), 40);
}

// Each row of q, k, v, own rows and out before a page of its own.
TEST_P(GuardedMemoryTest, EveryRowBeforeAPage) {
  const auto all = [](const std::vector<int64_t>&) { return true; };
  const auto expect_same_rows = [&](const AttentionKernel& row, const AttentionCase& c,
                                    const CaseTensors& t) {
    if (c.stores()) return;
    AttentionArgs apart = t.args;
    const GuardedRows q(t.args.q, all), k(t.args.k, all), v(t.args.v, all), out(t.args.out, all);
    apart.q = q.view();
    apart.k = k.view();
    apart.v = v.view();
    apart.out = out.view();
    std::optional<GuardedRows> k_new, v_new;
    if (apart.k_new) {
      k_new.emplace(apart.k_new, all);
      v_new.emplace(apart.v_new, all);
      apart.k_new = k_new->view();
      apart.v_new = v_new->view();
    }
    run_row(row, t.args, t.params);
    run_row(row, apart, t.params);
    EXPECT_TRUE(out.equals(t.args.out)) << row.name << " " << name(c);
  };
  std::vector<AttentionCase> half;  // of few rows and of many
  size_t n = 0;
  for (const AttentionCase& c : odd_dims(GetParam()))
    if ((n++ % 4 < 2) == (c.head_dim % 2 == 0)) half.push_back(c);
  EXPECT_GT(each_guarded_call(GetParam(), half, expect_same_rows), 40);
}

}  // namespace
}  // namespace attend::testing
