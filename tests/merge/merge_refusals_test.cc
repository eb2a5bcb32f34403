// One test for each refusal of merge: its code, its whole text, and that no output changes.
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "attend/operator.h"
#include "tests/support/thrown.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr int64_t kB = 2, kT = 3, kH = 2, kD = 4;

struct Call {
  std::vector<float> a = std::vector<float>(kB * kT * kH * kD, 1), b = a, joined = a;
  std::vector<float> la = std::vector<float>(kB * kT * kH), lb = la, l = la;
  MergeArgs args;

  Call() {
    const auto part = [](std::vector<float>& out, std::vector<float>& lse) {
      return std::pair{contiguous(out.data(), DType::kF32, {kB, kT, kH, kD}),
                       contiguous(lse.data(), DType::kF32, {kB, kH, kT})};
    };
    std::tie(args.out_a, args.lse_a) = part(a, la);
    std::tie(args.out_b, args.lse_b) = part(b, lb);
    std::tie(args.out, args.lse) = part(joined, l);
  }
};

struct Refusal {
  const char* name;
  void (*spoil)(MergeArgs&);
  const char* text;  // after "merge: "
};

const Refusal kRefusals[] = {
    // clang-format off
    {"NoLseB", [](MergeArgs& m) { m.lse_b = {}; }, "lse_b is absent, expected a tensor"},
    {"NoLseA", [](MergeArgs& m) { m.lse_a = {}; }, "lse_a is absent, expected a tensor"},
    {"NoOutA", [](MergeArgs& m) { m.out_a = {}; }, "out_a is absent, expected a tensor"},
    {"NoOutB", [](MergeArgs& m) { m.out_b = {}; }, "out_b is absent, expected a tensor"},
    {"NoOut", [](MergeArgs& m) { m.out = {}; }, "out is absent, expected a tensor"},
    {"RankA", [](MergeArgs& m) { m.out_a.rank = 2; },
     "out_a rank is 2, expected 4 [batch, seqlen_q, heads, dim], or 3 [total_q, heads, dim]"},
    {"RankB", [](MergeArgs& m) { m.out_b.rank = 3; }, "out_b rank is 3, expected 4 [batch, seqlen_q, heads, dim], like out_a"},
    {"RankOut", [](MergeArgs& m) { m.out_a.rank = m.out_b.rank = 3; }, "out rank is 4, expected 3 [total_q, heads, dim], like out_a"},
    {"Batch", [](MergeArgs& m) { m.out_b.shape[0] = 1; }, "out_b dim 0 is 1, expected 2 (batch of out_a)"},
    {"Seqlen", [](MergeArgs& m) { m.out.shape[1] = 2; }, "out dim 1 is 2, expected 3 (seqlen_q of out_a)"},
    {"Heads", [](MergeArgs& m) { m.out_b.shape[2] = 1; }, "out_b dim 2 is 1, expected 2 (heads of out_a)"},
    {"Dim", [](MergeArgs& m) { m.out.shape[3] = 3; }, "out dim 3 is 3, expected 4 (dim of out_a)"},
    {"DtypeA", [](MergeArgs& m) { m.out_a.dtype = DType::kI8; }, "out_a dtype is i8, expected f32 or f16 or bf16"},
    {"DtypeOut", [](MergeArgs& m) { m.out.dtype = DType::kI32; }, "out dtype is i32, expected f32 or f16 or bf16"},
    {"LseDtype", [](MergeArgs& m) { m.lse_a.dtype = DType::kF16; }, "lse_a dtype is f16, expected f32"},
    {"LseRank", [](MergeArgs& m) { m.lse_b.rank = 2; }, "lse_b rank is 2, expected 3 [batch, heads, seqlen_q]"},
    {"LseBatch", [](MergeArgs& m) { m.lse.shape[0] = 1; }, "lse dim 0 is 1, expected 2 (batch of out_a)"},
    {"LseHeads", [](MergeArgs& m) { m.lse_a.shape[1] = 1; }, "lse_a dim 1 is 1, expected 2 (heads of out_a)"},
    {"LseSeqlen", [](MergeArgs& m) { m.lse_b.shape[2] = 4; }, "lse_b dim 2 is 4, expected 3 (seqlen_q of out_a)"},
    {"Device", [](MergeArgs& m) { m.lse_b.device = {DeviceType::kCuda, 1}; },
     "lse_b is on cuda:1, expected native:0 (device of out_a)"},
    {"NullData", [](MergeArgs& m) { m.out_b.data = nullptr; }, "out_b data is null, expected memory for 48 elements"},
    {"Twice", [](MergeArgs& m) { m.out.stride[1] = 0; }, "out strides put two elements at one address, expected distinct ones"},
    {"ShiftedIntoA", [](MergeArgs& m) { m.out = m.out_a; m.out.data = static_cast<float*>(m.out.data) + 1; },
     "out memory overlaps out_a, expected memory of its own"},
    {"SameMemoryOtherOrder", [](MergeArgs& m) { m.out = m.out_b; std::swap(m.out.stride[0], m.out.stride[1]); m.out.stride = {8, 16, 4, 1}; },
     "out memory overlaps out_b, expected memory of its own"},
    {"SameMemoryOtherType", [](MergeArgs& m) { m.out = m.out_a; m.out.dtype = DType::kBF16; },
     "out memory overlaps out_a, expected memory of its own"},
    {"LseInOut", [](MergeArgs& m) { m.lse.data = m.out.data; }, "out memory overlaps lse, expected memory of its own"},
    {"LseInOutA", [](MergeArgs& m) { m.lse.data = m.out_a.data; }, "lse memory overlaps out_a, expected memory of its own"},
    {"OutInLseA", [](MergeArgs& m) { m.lse_a.data = m.out.data; }, "out memory overlaps lse_a, expected memory of its own"},
    // clang-format on
};

class MergeRefusals : public ::testing::TestWithParam<Refusal> {};

TEST_P(MergeRefusals, SaysWhyAndWritesNothing) {
  Call call;
  GetParam().spoil(call.args);
  const Thrown e = thrown([&] { MergePartials().forward_native(call.args, {}); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  const bool elsewhere = e.what.rfind("forward_native: ", 0) == 0;
  EXPECT_EQ(e.what, std::string(elsewhere ? "" : "merge: ") + GetParam().text);
  EXPECT_EQ(call.joined, Call().joined);
  EXPECT_EQ(call.a, Call().a);
  EXPECT_EQ(call.l, Call().l);
}

INSTANTIATE_TEST_SUITE_P(Merge, MergeRefusals, ::testing::ValuesIn(kRefusals),
                         [](const auto& p) { return std::string(p.param.name); });

TEST(Merge, OneInputUnderTwoNamesIsTaken) {  // inputs may share memory
  Call call;
  call.args.out_b = call.args.out_a;
  call.args.lse_b = call.args.lse_a;
  EXPECT_EQ(MergePartials().supports(call.args, {}, {}).message, "");
  call.args.out = call.args.out_a;  // and be written in place
  EXPECT_EQ(MergePartials().supports(call.args, {}, {}).message, "");
}

}  // namespace
}  // namespace attend::testing
