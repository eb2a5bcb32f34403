// What the counters divide by, against numbers counted by hand; and that copies of K and V are
// copies.
#include "bench/support/work.h"

#include <gtest/gtest.h>

#include <set>

#include "bench/support/machine.h"
#include "bench/support/rotation.h"
#include "tests/support/tensors.h"

namespace attend::bench {
namespace {

testing::AttentionCase three_by_five() {
  testing::AttentionCase c;
  c.batch = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.seqlen_q = 3;
  c.seqlen_k = 5;
  c.head_dim = 8;
  c.v_dim = 6;
  return c;
}

TEST(Work, LeavesOutMaskedPairs) {
  testing::AttentionCase c = three_by_five();
  auto t = testing::make_tensors(c, testing::Fill::kPlain);
  EXPECT_EQ(work_of(t.args, t.params).pairs, 2 * 4 * 15);
  c.causal = true;  // rows see 3, 4 and 5 keys
  t = testing::make_tensors(c, testing::Fill::kPlain);
  const Work w = work_of(t.args, t.params);
  EXPECT_EQ(w.pairs, 2 * 4 * 12);
  EXPECT_EQ(w.flop, 2.0 * (8 + 6) * 96);
  EXPECT_EQ(w.bytes, 4.0 * 2 * (3 * 4 * 8 + 5 * 2 * 8 + 5 * 2 * 6 + 3 * 4 * 6));
}

TEST(Work, CountsSharedMemoryOnce) {
  testing::AttentionCase c = three_by_five();
  c.v_in_k = true;
  const auto t = testing::make_tensors(c, testing::Fill::kPlain);
  EXPECT_EQ(work_of(t.args, t.params).bytes, 4.0 * 2 * (3 * 4 * 8 + 5 * 2 * 8 + 3 * 4 * 6));
}

TEST(Rotation, CallsSmallAndComputeBoundAreNotRotated) {
  for (const testing::AttentionCase& c : testing::cases(testing::Tier::kBench)) {
    if (c.label != "tiny16" && c.label != "prefill512") continue;
    const auto t = testing::make_tensors(c, testing::Fill::kPlain);
    EXPECT_EQ(copies_to_rotate(t.args, work_of(t.args, t.params)), 1) << c;
  }
  testing::AttentionCase decode;
  decode.seqlen_k = 4096;
  decode.head_dim = 128;
  const auto t = testing::make_tensors(decode, testing::Fill::kPlain);
  EXPECT_GE(copies_to_rotate(t.args, work_of(t.args, t.params)) * int64_t{4096} * 256 * 4,
            bytes_beyond_cache());
}

TEST(Rotation, CopiesHoldTheSameValuesElsewhere) {
  for (bool v_in_k : {false, true}) {
    testing::AttentionCase c = three_by_five();
    c.v_in_k = v_in_k;
    const auto t = testing::make_tensors(c, testing::Fill::kPlain);
    Rotation rotation(t.args, 3);
    std::set<const void*> seen;
    for (int n = 0; n < 6; ++n) {
      const AttentionArgs& a = rotation.next();
      seen.insert(a.k.data);
      EXPECT_EQ(a.v.data == a.k.data, v_in_k);
      EXPECT_EQ(a.out.data, t.args.out.data);
      const auto last = [](const TensorView& v) {
        int64_t at = 0;
        for (int d = 0; d < v.rank; ++d) at += (v.dim(d) - 1) * v.step(d);
        return static_cast<const float*>(v.data)[at];
      };
      EXPECT_EQ(last(a.k), last(t.args.k));
      EXPECT_EQ(last(a.v), last(t.args.v));
    }
    EXPECT_EQ(seen.size(), 3u);
  }
}

}  // namespace
}  // namespace attend::bench
