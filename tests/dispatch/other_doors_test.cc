// The doors of the operators whose calls have no q and out of AttentionArgs: append, merge and gdn.
#include <gtest/gtest.h>

#include <array>

#include "attend/attend.h"
#include "tests/support/thrown.h"

namespace attend {
namespace {

using testing::Thrown;
using testing::thrown;

// One row is stored behind another, in one page of two.
struct AppendCall {
  static constexpr OpId kOp = OpId::kAppend;
  static constexpr const char* kLeader = "k";
  std::array<float, 4> k = {1, 2, -77, -77}, v = {3, 4, -77, -77};
  std::array<float, 2> k_new = {5, 6}, v_new = {7, 8};
  std::array<int64_t, 1> slots = {1};
  AttentionArgs args;
  AttentionParams params;
  AppendKv op;

  explicit AppendCall(Device device = {}) {
    args.k = contiguous(k.data(), DType::kF32, {1, 2, 1, 2}, device);
    args.v = contiguous(v.data(), DType::kF32, {1, 2, 1, 2}, device);
    args.k_new = contiguous(k_new.data(), DType::kF32, {1, 1, 2}, device);
    args.v_new = contiguous(v_new.data(), DType::kF32, {1, 1, 2}, device);
    args.seq.slot_mapping = contiguous(slots.data(), DType::kI64, {1}, device);
  }
  bool done() const {
    return k == std::array<float, 4>{1, 2, 5, 6} && v == std::array<float, 4>{3, 4, 7, 8};
  }
  bool untouched() const { return k[2] == -77 && k[3] == -77 && v[2] == -77 && v[3] == -77; }
  void spoil() { args.k_new.shape[1] = 3; }
};

// Two parts of the same weight: out is their mean.
struct MergeCall {
  static constexpr OpId kOp = OpId::kMerge;
  static constexpr const char* kLeader = "out_a";
  std::array<float, 2> a = {1, 2}, b = {3, 6}, out = {-77, -77};
  std::array<float, 1> lse_a = {0.5f}, lse_b = {0.5f};
  MergeArgs args;
  MergeParams params;
  MergePartials op;

  explicit MergeCall(Device device = {}) {
    args.out_a = contiguous(a.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.out_b = contiguous(b.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.out = contiguous(out.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.lse_a = contiguous(lse_a.data(), DType::kF32, {1, 1, 1}, device);
    args.lse_b = contiguous(lse_b.data(), DType::kF32, {1, 1, 1}, device);
  }
  bool done() const { return out == std::array<float, 2>{2, 4}; }
  bool untouched() const { return out == std::array<float, 2>{-77, -77}; }
  void spoil() { args.out_b.shape[3] = 1; }
};

// One token, nothing remembered before it: out = beta (k . q) v.
struct GdnCall {
  static constexpr OpId kOp = OpId::kGdn;
  static constexpr const char* kLeader = "q";
  std::array<float, 2> q = {1, 2}, k = {1, 0.5f}, v = {3, 5}, out = {-77, -77};
  std::array<float, 1> g = {0}, beta = {0.5f};
  GdnArgs args;
  GdnParams params;
  GatedDeltaNet op;

  explicit GdnCall(Device device = {}) {
    args.q = contiguous(q.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.k = contiguous(k.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.v = contiguous(v.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.out = contiguous(out.data(), DType::kF32, {1, 1, 1, 2}, device);
    args.g = contiguous(g.data(), DType::kF32, {1, 1, 1}, device);
    args.beta = contiguous(beta.data(), DType::kF32, {1, 1, 1}, device);
    params.softmax_scale = 1.0f;
  }
  bool done() const { return out == std::array<float, 2>{3, 5}; }
  bool untouched() const { return out == std::array<float, 2>{-77, -77}; }
  void spoil() { args.k.shape[3] = 1; }
};

template <class Call>
class OtherOperator : public ::testing::Test {};
struct Names {
  template <class Call>
  static std::string GetName(int) {
    return name(Call::kOp);
  }
};
using Calls = ::testing::Types<AppendCall, MergeCall, GdnCall>;
TYPED_TEST_SUITE(OtherOperator, Calls, Names);

TYPED_TEST(OtherOperator, RunsOnNativeThroughBothDoors) {
  TypeParam call, again;
  const RunResult result = call.op.forward(call.args, call.params);
  EXPECT_TRUE(
      std::string(result.kernel).starts_with(std::string(name(TypeParam::kOp)) + "/native/"))
      << result.kernel;
  EXPECT_TRUE(call.done());
  again.op.forward_native(again.args, again.params);
  EXPECT_TRUE(again.done());
  TypeParam named;
  EXPECT_STREQ(named.op.run_kernel(result.kernel, named.args, named.params).kernel, result.kernel);
  EXPECT_TRUE(named.done());
}

TYPED_TEST(OtherOperator, DoorsOfOtherDevicesRefuse) {
  TypeParam here, there({DeviceType::kCuda, 0});
  const auto all = Registry::global().backends();
  for (const Backend& b : all)
    if (b.device != DeviceType::kNative && b.table) GTEST_SKIP() << b.name << " is loaded here";
  for (const Thrown& e : {thrown([&] { here.op.forward_cuda(here.args, here.params); }),
                          thrown([&] { here.op.forward_rocm(here.args, here.params); }),
                          thrown([&] { there.op.forward(there.args, there.params); })})
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
  const Thrown e = thrown([&] { there.op.forward_native(there.args, there.params); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(
      e.says(std::string("forward_native: ") + TypeParam::kLeader + " is on cuda, expected native"))
      << e.what;
  EXPECT_TRUE(here.untouched());
  EXPECT_TRUE(there.untouched());
}

TYPED_TEST(OtherOperator, SupportsAnswersInWordsWhatForwardWouldThrow) {
  TypeParam call;
  const Support yes = call.op.supports(call.args, call.params, {});
  EXPECT_TRUE(yes) << yes.message;
  EXPECT_EQ(call.op.explain(call.args, call.params, {}).size() > 0, true);
  call.spoil();
  const Support no = call.op.supports(call.args, call.params, {});
  const Thrown e = thrown([&] { call.op.forward(call.args, call.params); });
  EXPECT_EQ(no.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(no.code, e.code);
  EXPECT_EQ(no.message, e.what);
  EXPECT_TRUE(call.untouched());
}

}  // namespace
}  // namespace attend
