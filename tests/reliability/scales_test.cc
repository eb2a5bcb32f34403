// Every scale of a call at once, none of them 1 and no two alike, on every path of element types:
// softmax scale, softcap, sinks and slopes by head and by sequence, descales of k and v each in
// every shape.
#include <gtest/gtest.h>

#include "tests/reliability/guarded_calls.h"
#include "tests/support/judge.h"

namespace attend::testing {
namespace {

AttentionCase scaled(Family family, DType dtype) {
  AttentionCase c = blank(family);
  c.dtype = dtype;
  c.batch = 3;
  c.seqlen_q = family == Family::kDecode ? 1 : 6;
  c.seqlen_k = 23;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 11;
  c.v_dim = 5;
  c.lse = true;
  c.scale = Scale::kGiven;
  c.softcap = 1.7f;
  c.sinks = PerHead::k2D;
  c.alibi = PerHead::k2D;
  return c;
}

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr DType kCaches[] = {DType::kF32,    DType::kF16,    DType::kBF16,
                             DType::kF8E4M3, DType::kF8E5M2, DType::kI8};

// Any two element types of k and v beside any of q, with descales of every shape.
std::vector<AttentionCase> cache_cases(Family family) {
  std::vector<AttentionCase> list;
  size_t n = 0;
  for (const DType q : kFloats)
    for (const DType k : kCaches)
      for (const DType v : kCaches) {
        AttentionCase c = scaled(family, q);
        c.k_cache = k;
        c.v_cache = v;
        if (family == Family::kPaged) {
          c.page_size = 3;
          // Own rows are not scaled, the cached keys beside them are.
          constexpr OwnRows kOwn[] = {OwnRows::kNone, OwnRows::kNotStored, OwnRows::kStored};
          c.own_rows = kOwn[n % 3];
          c.table = n % 2 ? PageTable::kCsr : PageTable::kBlockTable;
        }
        for (const Descale descale :
             {Descale::kScalar, Descale::kOne, Descale::kHeads, Descale::kBatchHeads}) {
          c.descale = descale;
          // Each path of types meets each shape; types without a descale need one shape alone.
          if (size_bytes(k) > 1 && size_bytes(v) > 1 && descale != Descale::kScalar) continue;
          c.window_left = ++n % 2 ? 9 : -1;
          list.push_back(c);
        }
      }
  return list;
}

void expect_gold(const AttentionKernel& row, const AttentionCase& c, const CaseTensors& t) {
  run_row(row, t.args, t.params);
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << row.name << " " << name(c) << "\n" << to_string(verdicts);
}

TEST(Scales, OfPages) {
  for (DeviceType device : test_devices())
    EXPECT_GT(each_guarded_call(OpId::kPaged, device, cache_cases(Family::kPaged), expect_gold),
              150);
}

TEST(Scales, OfCaches) {
  for (DeviceType device : test_devices())
    EXPECT_GT(each_guarded_call(OpId::kDecode, device, cache_cases(Family::kDecode), expect_gold),
              150);
}

class Scales : public ::testing::TestWithParam<OpOnDevice> {};
INSTANTIATE_TEST_SUITE_P(Rows, Scales,
                         ::testing::ValuesIn(on_test_devices({OpId::kVanilla, OpId::kFlash,
                                                              OpId::kSplash, OpId::kSdpa,
                                                              OpId::kRing})),
                         [](const auto& p) { return test_name_of(p.param); });

TEST_P(Scales, OfRows) {
  std::vector<AttentionCase> list;
  for (const DType dtype : kFloats)
    for (const PerHead sinks : {PerHead::k1D, PerHead::k2D})
      for (const PerHead alibi : {PerHead::k1D, PerHead::k2D})
        for (const bool ragged : {false, true})
          for (const Scale scale : {Scale::kGiven, Scale::kNegative}) {
            AttentionCase c = scaled(Family::kPlain, dtype);
            c.sinks = sinks;
            c.alibi = alibi;
            c.scale = scale;
            c.layout = ragged ? Layout::kRagged : Layout::kDense;
            c.causal = GetParam().op == OpId::kSplash;
            list.push_back(c);
          }
  EXPECT_GT(each_guarded_call(GetParam().op, GetParam().device, list, expect_gold), 40);
}

}  // namespace
}  // namespace attend::testing
