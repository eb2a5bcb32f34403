// When splash hands a call to vanilla, with every word of the call, and says so (contract 5).
#include <gtest/gtest.h>

#include "attend/operator.h"
#include "tests/kernels/rows.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

std::string operator_of(const RunResult& result) {
  return std::string(result.kernel).substr(0, std::string(result.kernel).find('/'));
}

RunResult run(const AttentionCase& c, DeviceType device) {
  SCOPED_TRACE(name(c));
  CaseTensors t = make_tensors(c);
  // A device reads no lengths: that the longest sequence has one row must be told.
  if (c.layout == Layout::kRagged) t.args.seq.max_seqlen_q = c.seqlen_q;
  const RunResult result = forward_there(SplashAttention(), device, t.args, t.params);
  const auto verdicts = judge(t.args, t.params);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
  EXPECT_EQ(t.damaged_guard(), "");
  relabel(t.args, t.params, Device{device, 0});
  EXPECT_STREQ(SplashAttention().supports(t.args, t.params, Device{device, 0}).kernel,
               result.kernel);
  return result;
}

AttentionCase call() {
  AttentionCase c;
  c.batch = 2, c.seqlen_q = 40, c.seqlen_k = 70, c.heads = 2, c.head_dim = 16;
  c.lse = true;
  return c;
}

class Fallback : public ::testing::TestWithParam<DeviceType> {};
INSTANTIATE_TEST_SUITE_P(Devices, Fallback, ::testing::ValuesIn(test_devices()),
                         [](const auto& p) { return name(p.param); });

TEST_P(Fallback, ACallThatIsNeitherCausalNorSparse) {
  AttentionCase c = call();
  c.softcap = 5, c.bias = Spread::kFull, c.alibi = PerHead::k1D, c.sinks = PerHead::k2D;
  const RunResult result = run(c, GetParam());
  EXPECT_EQ(operator_of(result), "vanilla");
  EXPECT_NE(std::string(result.note).find("neither causal nor sparse"), std::string::npos)
      << result.note;
}

TEST_P(Fallback, OneQueryRowKeepsItsMask) {
  for (Layout layout : {Layout::kDense, Layout::kRagged}) {
    AttentionCase c = call();
    c.layout = layout;
    c.seqlen_q = 1;
    c.causal = true, c.window_left = 9;
    RunResult result = run(c, GetParam());
    EXPECT_EQ(operator_of(result), "vanilla");
    EXPECT_NE(std::string(result.note).find("one query row"), std::string::npos) << result.note;
    c.window_left = -1;
    c.family = Family::kSplash;
    c.block_mask = Spread::kFull, c.block_mask_q = 16, c.block_mask_k = 8;
    result = run(c, GetParam());
    EXPECT_EQ(operator_of(result), "vanilla");
  }
}

// Any one of these words is splash's own business.
TEST_P(Fallback, NotWhereAWordMakesTheCallSparse) {
  std::vector<AttentionCase> list(7, call());
  list[0].causal = true;
  list[1].block_size = 8;
  list[2].window_left = 3;
  list[3].window_right = 3;
  list[4].segments = true;
  list[5].keep = Spread::kKeys;
  list[6].family = Family::kSplash, list[6].block_mask = Spread::kRowsKeys;
  list[6].block_mask_q = list[6].block_mask_k = 16;
  for (const AttentionCase& c : list) {
    const RunResult result = run(c, GetParam());
    EXPECT_EQ(operator_of(result), "splash") << name(c);
    EXPECT_STREQ(result.note, "");
  }
}

}  // namespace
}  // namespace attend::testing
