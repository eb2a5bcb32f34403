// forward and its three doors, supports, explain and run_kernel, in a process without plugins.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/dispatch/call.h"

namespace attend {
namespace {

using testing::MeanCall;
using testing::Thrown;
using testing::thrown;

using Door = RunResult (AttentionOp::*)(const AttentionArgs&, const AttentionParams&,
                                        const ExecContext&) const;

bool loaded(DeviceType device) {
  const auto all = Registry::global().backends();
  return std::any_of(all.begin(), all.end(),
                     [&](const Backend& b) { return b.device == device && b.table; });
}

class EveryOperator : public ::testing::TestWithParam<OpId> {
 protected:
  const AttentionOp& op() const { return attention_op(GetParam()); }
  std::string row_prefix() const { return std::string(name(GetParam())) + "/native/"; }
};
// All that share AttentionArgs but append, which has no q and no out (other_doors_test).
INSTANTIATE_TEST_SUITE_P(Doors, EveryOperator,
                         ::testing::Values(OpId::kVanilla, OpId::kFlash, OpId::kPaged,
                                           OpId::kSplash, OpId::kDecode, OpId::kSdpa, OpId::kRing),
                         [](const auto& p) { return name(p.param); });

TEST_P(EveryOperator, RunsOnNativeThroughBothDoors) {
  for (const Door door : {&AttentionOp::forward, &AttentionOp::forward_native}) {
    MeanCall call(GetParam());
    const RunResult result = (op().*door)(call.args, call.params, {});
    EXPECT_TRUE(std::string(result.kernel).starts_with(row_prefix())) << result.kernel;
    EXPECT_STREQ(result.kernel, op().supports(call.args, call.params, {}).kernel);
    for (int64_t i = 0; i < call.rows; ++i)
      for (int64_t h = 0; h < MeanCall::kHeads; ++h)
        for (int64_t e = 0; e < MeanCall::kDim; ++e)
          EXPECT_NEAR(
              call.out[static_cast<size_t>((i * MeanCall::kHeads + h) * MeanCall::kDim + e)],
              call.mean(h, e), 1e-5);
  }
}

// A device whose backend is absent: the code, the device's name, and what to do.
TEST_P(EveryOperator, SaysHowToGetABackendThatIsAbsent) {
  for (const auto& [device, door, plugin] :
       {std::tuple{DeviceType::kCuda, Door(&AttentionOp::forward_cuda), "libattend_cuda.so"},
        std::tuple{DeviceType::kRocm, Door(&AttentionOp::forward_rocm), "libattend_rocm.so"}}) {
    if (loaded(device)) GTEST_SKIP() << "a " << name(device) << " backend is loaded here";
    MeanCall there(GetParam(), {device, 0});
    MeanCall here(GetParam());  // of a machine that has only native memory
    for (const Thrown& e : {thrown([&] { (op().*door)(there.args, there.params, {}); }),
                            thrown([&] { op().forward(there.args, there.params); }),
                            thrown([&] { (op().*door)(here.args, here.params, {}); })}) {
      EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
      EXPECT_TRUE(e.says(std::string("no ") + name(device) + " backend")) << e.what;
      EXPECT_TRUE(e.says(plugin) && e.says("ATTEND_BACKEND_PATH") && e.says("load_backend"))
          << e.what;
    }
    EXPECT_TRUE(there.untouched());
    EXPECT_TRUE(here.untouched());
  }
}

TEST_P(EveryOperator, NativeDoorRefusesTensorsOfAnotherDevice) {
  for (const DeviceType device : {DeviceType::kCuda, DeviceType::kRocm}) {
    MeanCall call(GetParam(), {device, 0});
    const Thrown e = thrown([&] { op().forward_native(call.args, call.params); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(
        e.says(std::string("forward_native: q is on ") + name(device) + ", expected native"))
        << e.what;
    EXPECT_TRUE(call.untouched());
  }
}

TEST_P(EveryOperator, RefusesTensorsOnTwoDevices) {
  MeanCall call(GetParam());
  call.args.v.device = {DeviceType::kCuda, 0};
  const Thrown e = thrown([&] { op().forward(call.args, call.params); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(e.says("v ") && e.says("cuda:0") && e.says("native")) << e.what;
  EXPECT_TRUE(call.untouched());
}

TEST_P(EveryOperator, SupportsAnswersInWordsWhatForwardWouldThrow) {
  MeanCall call(GetParam());
  EXPECT_TRUE(op().supports(call.args, call.params, {}));
  call.args.k.shape[3] = 5;  // another head_dim than q's
  Support answer;
  EXPECT_NO_THROW(answer = op().supports(call.args, call.params, {}));
  const Thrown e = thrown([&] { op().forward(call.args, call.params); });
  EXPECT_FALSE(answer);
  EXPECT_EQ(answer.code, e.code);
  EXPECT_EQ(answer.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(e.says("k dim 3 is 5, expected 8")) << e.what;
  EXPECT_EQ(answer.message, e.what);

  const AttentionArgs nothing;
  EXPECT_NO_THROW(answer = op().supports(nothing, call.params, {}));
  EXPECT_FALSE(answer);
  for (const DeviceType device : {DeviceType::kCuda, DeviceType::kRocm}) {
    if (loaded(device)) continue;
    MeanCall there(GetParam(), {device, 0});
    EXPECT_NO_THROW(answer = op().supports(there.args, there.params, {device, 0}));
    EXPECT_EQ(answer.code, ErrorCode::kBackendUnavailable) << answer.message;
  }
}

TEST_P(EveryOperator, ExplainAsksEveryRow) {
  const MeanCall call(GetParam());
  const auto rows = Registry::global().attention_kernels(GetParam(), DeviceType::kNative);
  const auto answers = op().explain(call.args, call.params, {});
  ASSERT_EQ(answers.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_STREQ(answers[i].kernel, rows[i].name);
    EXPECT_EQ(to_string(answers[i].status).empty(), bool(answers[i].status)) << rows[i].name;
  }
}

TEST_P(EveryOperator, RunsOneRowByItsName) {
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(GetParam(), DeviceType::kNative)) {
    MeanCall call(GetParam());
    if (!row.available({})) {
      const Thrown e = thrown([&] { op().run_kernel(row.name, call.args, call.params); });
      EXPECT_EQ(e.code, ErrorCode::kUnsupported) << e.what;
      EXPECT_TRUE(e.says(row.name) && e.says(to_string(row.available({})))) << e.what;
      continue;
    }
    if (!row.supports(call.args, call.params, {})) continue;
    EXPECT_STREQ(op().run_kernel(row.name, call.args, call.params).kernel, row.name);
    EXPECT_NEAR(call.out[0], call.mean(0, 0), 1e-5);
  }
  MeanCall call(GetParam());
  const Thrown e = thrown([&] { op().run_kernel("flash/native/none", call.args, call.params); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(e.says("'flash/native/none'") && e.says(row_prefix())) << e.what;
}

TEST(Operators, AreFoundByTheirIds) {
  for (int n = 0; n < static_cast<int>(OpId::kCount); ++n) {
    const auto op = static_cast<OpId>(n);
    if (op == OpId::kGdn || op == OpId::kMerge) continue;
    EXPECT_EQ(attention_op(op).id(), op) << name(op);
  }
}

TEST(Operators, OfOtherArgumentsSaySo) {
  for (const OpId op : {OpId::kGdn, OpId::kMerge, OpId::kCount}) {
    const Thrown e = thrown([&] { attention_op(op); });
    EXPECT_EQ(e.code, ErrorCode::kUnsupported);
    EXPECT_TRUE(e.says("arguments are not AttentionArgs; use GatedDeltaNet or MergePartials"))
        << e.what;
  }
}

// What an embedding program sets wrongly in its context is refused before anything runs.
TEST(Context, IsChecked) {
  MeanCall call(OpId::kFlash);
  ExecContext no_workers;
  no_workers.parallel_for.run = [](void*, int64_t, void (*)(void*, int64_t, int32_t), void*) {};
  ExecContext half;
  half.allocator.allocate = [](void*, Device, uint64_t, uint64_t, void*) -> void* {
    return nullptr;
  };
  for (const auto& [context, word] : {std::pair{no_workers, "workers"}, {half, "allocator"}}) {
    const Thrown e = thrown([&] { FlashAttention().forward(call.args, call.params, context); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(e.says(word)) << e.what;
  }
  EXPECT_TRUE(call.untouched());
}

// The embedding program's threads: all work goes through its parallel_for.
TEST(Context, ParallelForIsTheCallersOwn) {
  struct Count {
    int64_t calls = 0, tasks = 0;
  } count;
  ExecContext context;
  context.parallel_for.workers = 2;
  context.parallel_for.user = &count;
  context.parallel_for.run = [](void* user, int64_t tasks, void (*body)(void*, int64_t, int32_t),
                                void* body_context) {
    auto* c = static_cast<Count*>(user);
    ++c->calls;
    c->tasks += tasks;
    for (int64_t t = tasks; t-- > 0;) body(body_context, t, static_cast<int32_t>(t % 2));
  };
  for (const OpId op : {OpId::kVanilla, OpId::kFlash, OpId::kPaged, OpId::kSplash, OpId::kDecode,
                        OpId::kSdpa, OpId::kRing}) {
    count = {};
    MeanCall call(op);
    attention_op(op).forward(call.args, call.params, context);
    EXPECT_GT(count.calls, 0);
    EXPECT_GT(count.tasks, 0);
    for (int64_t h = 0; h < MeanCall::kHeads; ++h)
      EXPECT_NEAR(call.out[static_cast<size_t>(h * MeanCall::kDim)], call.mean(h, 0), 1e-5);
  }
}

TEST(ErrorWord, OfNativeIsReadAsItLies) {
  ErrorWord word;
  ExecContext context;
  context.error_word = &word;
  EXPECT_NO_THROW(context.check());
  word = {static_cast<int32_t>(ErrorCode::kOutOfRange),
          static_cast<int32_t>(ErrorArgument::kBlockTable), 31, 912};
  const Thrown e = thrown([&] { context.check(); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfRange);
  EXPECT_TRUE(e.says("block_table[31] is 912")) << e.what;
  EXPECT_NO_THROW(ExecContext{}.check());
}

}  // namespace
}  // namespace attend
