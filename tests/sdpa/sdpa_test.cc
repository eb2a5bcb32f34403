// What sdpa means, and the words in which its rows and the operator refuse. The row of oneDNN is
// tested where this build has it, the other everywhere.
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/devices.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr const char *kOneDnn = "sdpa/native/onednn", *kFlash = "sdpa/native/flash";
constexpr bool built() { return sizeof ATTEND_ONEDNN_LIBRARY > 1; }

// A worked call without lse, which oneDNN's graph does not give.
struct Call : Worked {
  Call(int64_t rows, int64_t keys, int64_t heads = 1, int64_t kv_heads = 1)
      : Worked(rows, keys, heads, kv_heads) {
    args.lse = {};
  }
};

// The worked oracles on both rows and through forward, which takes the vendor's.
class Oracles : public ::testing::TestWithParam<const char*> {
 protected:
  void expect_out(Call& c, const std::vector<double>& want) {
    const std::string row = GetParam();
    if (row == "forward") {
      const RunResult result = SdpaAttention().forward(c.args, c.params);
      EXPECT_STREQ(result.kernel, built() ? kOneDnn : kFlash);
    }
    for (const AttentionKernel& r : test_rows(OpId::kSdpa)) {
      if (row != r.name) continue;
      const Thrown e = thrown([&] { run_row(r, c.args, c.params); });
      const bool vendor = row.ends_with("/cudnn") || row.ends_with("/matrix");
      if (vendor && e.code == ErrorCode::kUnsupported) GTEST_SKIP() << e.what;
      ASSERT_EQ(e.code, ErrorCode::kOk) << e.what;
    }
    const auto got = c.out.all();
    ASSERT_EQ(got.size(), want.size());
    for (size_t n = 0; n < got.size(); ++n) EXPECT_NEAR(got[n], want[n], 2e-6) << n;
  }
};

std::vector<const char*> rows() {
  std::vector<const char*> list;
  for (DeviceType device : test_devices())
    if (device == DeviceType::kNative) list.push_back("forward");
  for (const AttentionKernel& row : test_rows(OpId::kSdpa))
    if (built() || std::string(row.name) != kOneDnn) list.push_back(row.name);
  return list;
}
INSTANTIATE_TEST_SUITE_P(Rows, Oracles, ::testing::ValuesIn(rows()),
                         [](const auto& p) { return test_name_of(p.param); });

TEST_P(Oracles, O1Plain) {
  Call c(2, 3);
  expect_out(c, {0.531609, 0.326137, 0.629273, 0.394704});
}

// sdpa's default: both apply, without a word.
TEST_P(Oracles, O2BothApplied) {
  Call c(2, 3);
  const Values bias(DType::kF32, {2, 3}, {0, 1, -1, 2, 0, 0.5}),
      keep(DType::kBool, {2, 3}, {1, 0, 1, 0, 1, 1});
  c.params.bias = bias;
  c.params.mask.keep = keep;
  expect_out(c, {0.612717, 0.746071, 0.404185, -0.151452});
}

TEST_P(Oracles, O2BiasOnlyOnRequest) {
  Call c(2, 3);
  const Values bias(DType::kF32, {2, 3}, {0, 1, -1, 2, 0, 0.5}),
      keep(DType::kBool, {2, 3}, {1, 0, 1, 0, 1, 1});
  c.params.bias = bias;
  c.params.mask.keep = keep;
  c.params.mask_with_bias = MaskWithBias::kBiasOnly;
  expect_out(c, {0.701060, 0.344205, 0.719490, 0.805772});
}

// sdpa's default: top left. The other corner on request.
TEST_P(Oracles, O3MoreKeysThanRows) {
  Call top_left(2, 4), bottom_right(2, 4);
  top_left.params.mask.causal = bottom_right.params.mask.causal = true;
  bottom_right.params.mask.diagonal = Diagonal::kBottomRight;
  expect_out(top_left, {0.783327, 0.999574, 0.763659, 0.550794});
  expect_out(bottom_right, {0.531609, 0.326137, 0.545637, 0.348489});
}

TEST_P(Oracles, O3MoreRowsThanKeys) {
  Call top_left(4, 2), bottom_right(4, 2);
  top_left.params.mask.causal = bottom_right.params.mask.causal = true;
  bottom_right.params.mask.diagonal = Diagonal::kBottomRight;
  expect_out(top_left,
             {0.783327, 0.999574, 0.763659, 0.550794, 0.762554, 0.525587, 0.764704, 0.574642});
  expect_out(bottom_right, {0, 0, 0, 0, 0.783327, 0.999574, 0.764704, 0.574642});
}

TEST_P(Oracles, O4FullyMaskedRow) {
  Call keep_call(1, 3), bias_call(1, 3);
  const Values keep(DType::kBool, {1, 3}, {0, 0, 0}),
      bias(DType::kF32, {3}, std::vector<double>(3, -INFINITY));
  keep_call.params.mask.keep = keep;
  bias_call.params.bias = bias;
  expect_out(keep_call, {0, 0});
  expect_out(bias_call, {0, 0});
}

TEST_P(Oracles, O5GroupedHeads) {
  Call c(1, 2, 4, 2);
  expect_out(c,
             {0.404199, 0.436243, 0.526657, 0.618198, -0.120905, -0.172920, -0.748962, -0.400515});
}

// What the vendor's kernel does not take, by name; flash's tiles take it all.
struct Refused {
  const char* words;
  std::function<void(AttentionCase&)> set;
};
class Refusals : public ::testing::TestWithParam<Refused> {};

INSTANTIATE_TEST_SUITE_P(
    Native, Refusals,
    ::testing::Values(
        Refused{"cu_seqlens_q is given", [](auto& c) { c.layout = Layout::kRagged; }},
        Refused{"seqused_q is given", [](auto& c) { c.seqused_q = true; }},
        Refused{"seqused_k is given", [](auto& c) { c.seqused_k = true; }},
        Refused{"lse is asked for", [](auto& c) { c.lse = true; }},
        Refused{"sinks are given", [](auto& c) { c.sinks = PerHead::k1D; }},
        Refused{"softcap is set", [](auto& c) { c.softcap = 5; }},
        Refused{"alibi_slopes are given", [](auto& c) { c.alibi = PerHead::k1D; }},
        Refused{"block_size is 4", [](auto& c) { c.block_size = 4; }},
        Refused{"window_left is 3", [](auto& c) { c.window_left = 3; }},
        Refused{"window_right is 0", [](auto& c) { c.window_right = 0; }},
        Refused{"q_start is given", [](auto& c) { c.q_start = true; }},
        Refused{"prefix_lens is given",
                [](auto& c) {
                  c.causal = true;
                  c.prefix = true;
                }},
        Refused{"hole_starts is given", [](auto& c) { c.hole = true; }},
        Refused{"q_segment_ids is given", [](auto& c) { c.segments = true; }},
        Refused{"out dtype is f32, expected that of q",
                [](auto& c) {
                  c.dtype = DType::kBF16;
                  c.out_f32 = true;
                }},
        Refused{"q stride 3 is 2, expected 1", [](auto& c) { c.strides = Strides::kLastStep2; }},
        Refused{"q stride 3 is -1, expected 1", [](auto& c) { c.strides = Strides::kNegative; }}),
    [](const auto& p) {
      std::string text = p.param.words;
      for (char& ch : text)
        if (std::isalnum(static_cast<unsigned char>(ch)) == 0) ch = '_';
      return text;
    });

TEST_P(Refusals, NameTheWordAndLeaveTheCallToFlash) {
  AttentionCase c;
  c.batch = 2, c.seqlen_q = 9, c.seqlen_k = 12, c.heads = 4, c.kv_heads = 2, c.head_dim = 16;
  GetParam().set(c);
  const CaseTensors t = make_tensors(c);
  const std::string words = built() ? GetParam().words : "this build has no oneDNN";
  const auto answers = SdpaAttention().explain(t.args, t.params, Device{});
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_STREQ(answers[0].kernel, kOneDnn);
  EXPECT_EQ(answers[0].status.code, ErrorCode::kUnsupported);
  EXPECT_NE(to_string(answers[0].status).find(words), std::string::npos)
      << to_string(answers[0].status);
  const Thrown e = thrown([&] { SdpaAttention().run_kernel(kOneDnn, t.args, t.params); });
  EXPECT_EQ(e.code, ErrorCode::kUnsupported);
  EXPECT_TRUE(e.says(std::string(kOneDnn) + ": " + words)) << e.what;
  EXPECT_STREQ(answers[1].kernel, kFlash);
  EXPECT_TRUE(bool(answers[1].status)) << to_string(answers[1].status);
  EXPECT_STREQ(SdpaAttention().forward(t.args, t.params).kernel, kFlash);
}

// Rows that overlap: the columns of strides, with the number that is wrong.
TEST(RefusedStrides, RowsMustNotOverlap) {
  if (!built()) GTEST_SKIP() << "this build has no oneDNN";
  struct Bent {
    const char* words;
    std::function<void(AttentionArgs&)> bend;
  };
  const Bent list[] = {
      {"q stride 1 is 0, expected head_dim or more", [](auto& a) { a.q.stride[1] = 0; }},
      {"k stride 1 is 1, expected head_dim or more", [](auto& a) { a.k.stride[1] = 1; }},
      {"v stride 1 is 0, expected v_dim or more", [](auto& a) { a.v.stride[1] = 0; }},
      {"k stride 3 is 0, expected 1", [](auto& a) { a.k.stride[3] = 0; }},
      {"v stride 3 is 0, expected 1", [](auto& a) { a.v.stride[3] = 0; }},
      {"q stride 2 is 0, expected head_dim or more where heads share keys",
       [](auto& a) { a.q.stride[2] = 0; }},
  };
  for (const Bent& bent : list) {
    Call c(2, 3, 4, 2);
    bent.bend(c.args);
    const Thrown e = thrown([&] { SdpaAttention().run_kernel(kOneDnn, c.args, c.params); });
    EXPECT_EQ(e.code, ErrorCode::kUnsupported);
    EXPECT_TRUE(e.says(bent.words)) << e.what;
  }
}

// What no row of sdpa takes.
TEST(RefusedCalls, NameTheOperatorThatTakesThem) {
  const auto refused = [](const std::function<void(Call&)>& spoil) {
    Call c(2, 3);
    spoil(c);
    return thrown([&] { SdpaAttention().forward(c.args, c.params); });
  };
  const auto says = [](const Thrown& e, const char* words) {
    EXPECT_EQ(e.code, ErrorCode::kUnsupported) << e.what;
    EXPECT_TRUE(e.says(words)) << e.what;
  };
  says(refused([](Call& c) { c.ask_for_weights(); }), "sdpa: weights are asked for");
  says(refused([](Call& c) { c.ask_for_scores(ScoresStage::kMasked); }),
       "sdpa: scores are asked for");
  says(refused([](Call& c) {
         c.params.dropout_p = 0.5f;
         c.params.deterministic = false;
         c.params.dropout_seed = 1;
       }),
       "sdpa: dropout_p is set");
  const Values starts(DType::kI32, {1}, {0});
  says(refused([&](Call& c) { c.args.seq.start = starts; }), "sdpa: start is given");
  says(refused([&](Call& c) { c.args.seq.context_lens = starts; }), "sdpa: context_lens is given");
  for (const auto& [head_dim, v_dim] : {std::pair{257, 8}, std::pair{8, 257}}) {
    AttentionCase c;
    c.seqlen_q = c.seqlen_k = 3;
    c.head_dim = head_dim;
    c.v_dim = v_dim;
    const CaseTensors t = make_tensors(c);
    const Thrown e = thrown([&] { SdpaAttention().forward(t.args, t.params); });
    EXPECT_EQ(e.code, ErrorCode::kUnsupported);
    EXPECT_TRUE(e.says("sdpa: head_dim is " + std::to_string(head_dim))) << e.what;
  }
}

TEST(Names, AliasesReachTheOperator) {
  for (const char* alias : {"sdpa", "cudnn", "cuda_flash_attn2"}) {
    Call c(2, 3);
    EXPECT_EQ(op_from_name(alias), OpId::kSdpa);
    EXPECT_STREQ(attention_op(op_from_name(alias)).forward_native(c.args, c.params).kernel,
                 built() ? kOneDnn : kFlash);
  }
}

}  // namespace
}  // namespace attend::testing
