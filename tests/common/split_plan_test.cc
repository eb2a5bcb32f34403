// How keys are cut into parts: at multiples of the quantum, by positions alone.
#include "ops/common/split_plan.h"

#include <gtest/gtest.h>

namespace attend {
namespace {

// Every key once, in order; parts begin at multiples of the quantum.
void expect_cover(int64_t rows, KeyRange keys) {
  const SplitPlan plan = split_plan(rows, keys);
  ASSERT_GE(plan.count(), 1);
  int64_t next = keys.begin;
  for (int64_t n = plan.first; n < plan.end; ++n) {
    const KeyRange part = plan.part(n, keys);
    EXPECT_EQ(part.begin, next) << keys.begin << ".." << keys.end << " part " << n;
    EXPECT_TRUE(n == plan.first || part.begin % kSplitKeys == 0);
    EXPECT_TRUE(part.begin < part.end || keys.begin >= keys.end);
    EXPECT_TRUE(plan.count() == 1 || part.end - part.begin <= kSplitKeys);
    next = part.end;
  }
  EXPECT_EQ(next, keys.begin < keys.end ? keys.end : next);
}

TEST(SplitPlan, CoversEveryKeyOnce) {
  for (const int64_t rows : {1, 4, 32, 33, 1000})
    for (const int64_t begin : {0, 1, 1023, 1024, 1025, 5000})
      for (const int64_t count : {0, 1, 2, 1023, 1024, 1025, 2048, 2049, 10000})
        expect_cover(rows, {begin, begin + count});
}

TEST(SplitPlan, CutsAtMultiplesOf1024) {
  EXPECT_EQ(split_plan(1, {0, 1024}).count(), 1);
  EXPECT_EQ(split_plan(1, {0, 1025}).count(), 2);
  EXPECT_EQ(split_plan(1, {1023, 1025}).count(), 2);
  EXPECT_EQ(split_plan(1, {1024, 2048}).count(), 1);
  EXPECT_EQ(split_plan(1, {1000, 5000}).part(1, {1000, 5000}).begin, 1024);
}

// The cuts that two ranges have in common are the same: what decides is the position of a key.
TEST(SplitPlan, DoesNotDependOnWhereTheRangeEnds) {
  const KeyRange small{700, 3000}, large{700, 9000};
  const SplitPlan a = split_plan(8, small), b = split_plan(8, large);
  for (int64_t n = a.first; n + 1 < a.end; ++n) {
    EXPECT_EQ(a.part(n, small).begin, b.part(n, large).begin);
    EXPECT_EQ(a.part(n, small).end, b.part(n, large).end);
  }
}

TEST(SplitPlan, ManyRowsAreNotSplit) {
  EXPECT_GT(split_plan(32, {0, 5000}).count(), 1);
  const SplitPlan one = split_plan(33, {100, 5000});
  EXPECT_EQ(one.count(), 1);
  EXPECT_EQ(one.part(one.first, {100, 5000}).begin, 100);
  EXPECT_EQ(one.part(one.first, {100, 5000}).end, 5000);
}

TEST(SplitPlan, NothingVisibleIsOneEmptyPart) {
  for (const KeyRange keys : {KeyRange{0, 0}, {5, 5}, {2000, 1000}}) {
    const SplitPlan plan = split_plan(1, keys);
    EXPECT_EQ(plan.count(), 1);
    EXPECT_GE(plan.part(plan.first, keys).begin, plan.part(plan.first, keys).end);
  }
}

}  // namespace
}  // namespace attend
