// Calls captured into a CUDA or HIP graph as a program captures them: through the public operators,
// on a stream of its own (ExecContext::stream). A replay on other data at the same addresses gives a
// direct call's bits, and the oracle agrees with them. The driver is the one that the plugin has
// opened: a stand-in, or on a machine with a GPU its own (ATTEND_TEST_REAL_DEVICES, tools/gpu_check).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "attend/attend.h"
#include "attend/backend_plugin.h"
#include "tests/gdn/tensors.h"
#include "tests/merge/partials.h"
#include "tests/simt/recorder.h"
#include "tests/support/devices.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

using simt::Recorder;
using ::testing::HasSubstr;

constexpr int kForbiddenInCapture = 900, kCaptureBroken = 901;  // of both vendors

// Where a captured call has its scratch from: the driver's pool, in stream order, with the check of
// indices among what is captured; or the caller's workspace alone.
enum class ScratchFrom : uint8_t { kPool, kWorkspace };

template <class Row, class Args, class Params>
class Context {
 public:
  Context(ScratchFrom from, const Row& row, const Args& a, const Params& p, void* stream) {
    context.stream = stream;
    if (from == ScratchFrom::kPool) return;
    const auto bytes = static_cast<int64_t>(row.workspace_bytes(a, p, 1));
    workspace_ = Tensor::empty(DType::kI8, {std::max<int64_t>(bytes, 1)}, Device{row.device, 0});
    context.workspace = workspace_.view().data;
    context.workspace_bytes = static_cast<uint64_t>(bytes);
    context.check_indices = CheckIndices::kOff;
    context.allocator = {[](void*, Device, uint64_t bytes_asked, uint64_t, void*) -> void* {
                           ADD_FAILURE()
                               << bytes_asked << " bytes beyond the workspace are asked for";
                           return nullptr;
                         },
                         [](void*, Device, void*, uint64_t, void*) {}, nullptr};
  }
  ExecContext context;

 private:
  Tensor workspace_;
};

// Two sets of data for one call, on the host.
struct GraphCall {
  const char* name;
  OpId op;
  int rows;  // at least so many take it on every device: the portable one, and the matrix one
  void (*set)(AttentionCase&) = nullptr;
  void (*change)(AttentionCase&) = nullptr;  // for the second set, beyond other numbers
};

void PrintTo(const GraphCall& c, std::ostream* stream) { *stream << c.name; }
void PrintTo(ScratchFrom from, std::ostream* stream) {
  *stream << (from == ScratchFrom::kPool ? "pool" : "workspace");
}

using C = AttentionCase;
// Stacked rows beyond those whose keys are split.
void many_rows(C& c) { c.seqlen_q = 33, c.seqlen_k = 40, c.seqused_k = true; }
void split_keys(C& c) { c.seqlen_q = 1, c.seqlen_k = 2100, c.heads = c.kv_heads = 1; }
void paged(C& c) {
  c.family = Family::kPaged;
  c.page_size = 4;
  c.own_rows = OwnRows::kStored;
  c.k_lens = {13, 6};
}

const GraphCall kCalls[] = {
    {"vanilla", OpId::kVanilla, 1, [](C& c) { c.weights = true, c.keep = Spread::kRowsKeys; }},
    {"flash", OpId::kFlash, 2, [](C& c) { c.seqused_k = true; }},
    {"flash_many_rows", OpId::kFlash, 2, many_rows},
    {"flash_ragged", OpId::kFlash, 2,
     [](C& c) {
       c.layout = Layout::kRagged, c.max_seqlen = true;
       c.q_lens = {9, 3}, c.k_lens = {15, 10};
     },
     [](C& c) {
       c.q_lens = {2, 10}, c.k_lens = {12, 13};
     }},
    {"flash_split_keys", OpId::kFlash, 2, split_keys},
    {"paged", OpId::kPaged, 2, paged,
     [](C& c) {
       c.k_lens = {6, 13};
     }},
    {"decode_split_keys", OpId::kDecode, 2,
     [](C& c) {
       split_keys(c);
       c.family = Family::kDecode, c.end = true, c.k_lens = {2100, 700};
     },
     [](C& c) {
       c.k_lens = {900, 1800};
     }},
    {"splash", OpId::kSplash, 2,
     [](C& c) {
       c.family = Family::kSplash, c.seqlen_q = 19, c.seqlen_k = 21;
       c.block_mask = Spread::kRowsKeys, c.block_mask_q = 4, c.block_mask_k = 8;
     }},
    {"sdpa", OpId::kSdpa, 2, [](C& c) { c.diagonal = Diagonal::kTopLeft; }},
    {"ring", OpId::kRing, 1, [](C& c) { c.seqlen_k = 20; }},
    {"append", OpId::kAppend, 1},
    {"merge", OpId::kMerge, 1},
    {"gdn", OpId::kGdn, 1},
    {"gdn_layer", OpId::kGdn, 1},
};

AttentionCase case_of(const GraphCall& call) {
  AttentionCase c;
  c.label = "graph";
  c.dtype = DType::kBF16;
  c.batch = 2, c.seqlen_q = 3, c.seqlen_k = 13, c.heads = 2, c.kv_heads = 1, c.head_dim = 16;
  c.causal = c.lse = true;
  c.diagonal = Diagonal::kBottomRight;
  call.set(c);
  return c;
}

class GraphReplay : public ::testing::TestWithParam<std::tuple<GraphCall, ScratchFrom>> {
 protected:
  void SetUp() override {
    for (DeviceType type : test_devices())
      if (type != DeviceType::kNative) return;
    GTEST_SKIP() << "no device is under test (ATTEND_TEST_DEVICES)";
  }
  const GraphCall& call() const { return std::get<0>(GetParam()); }

  // Captures a call of one row on the first set of data and replays it on both. Afterwards the
  // first set's memory holds the second's data and results.
  template <class Op, class Row, class Args, class Params>
  void replay(const Op& op, const Row& row, const Args& a, const Params& p, const Args& other_a,
              const Params& other_p);
  void attention();
  void append();
  void merge();
  void gdn();
  int taken_ = 0;
};

template <class Op, class Row, class Args, class Params>
void GraphReplay::replay(const Op& op, const Row& row, const Args& a, const Params& p,
                         const Args& other_a, const Params& other_p) {
  SCOPED_TRACE(row.name);
  const Device device{row.device, 0};
  Recorder recorder(row.device);
  DeviceCall<Args, Params> captured(device, a, p), direct(device, other_a, other_p);
  if (const Status s = row.supports(captured.args, captured.params, device); !s) {
    EXPECT_EQ(s.code, ErrorCode::kUnsupported) << to_string(s);
    return;
  }
  ++taken_;
  const std::vector<std::byte> data = captured.memory().bytes(), other = direct.memory().bytes();
  ASSERT_FALSE(data == other);
  const auto enqueue = [&](DeviceCall<Args, Params>& one, const ExecContext& context) {
    op.run_kernel(row.name, one.args, one.params, one.context(context));
  };
  // The first call of a process loads kernels, which is not for a capture.
  const auto results_of_direct_call = [&](const std::vector<std::byte>& of) {
    direct.memory().replace(of);
    enqueue(direct, {});
    direct.finish();
    return direct.memory().written_bytes();
  };
  const std::vector<std::byte> want = results_of_direct_call(data),
                               want_of_other = results_of_direct_call(other);
  ASSERT_FALSE(want == want_of_other);

  const Context context(std::get<1>(GetParam()), row, captured.args, captured.params,
                        recorder.stream);
  ASSERT_EQ(recorder.capture([&] { enqueue(captured, context.context); }), 0);
  captured.finish();
  EXPECT_TRUE(captured.memory().bytes() == data) << "a capture does nothing yet";
  recorder.replay();
  captured.finish();
  EXPECT_TRUE(captured.memory().written_bytes() == want) << "replayed on the data of the capture";
  for (int round = 0; round < 2; ++round) {
    captured.memory().replace(other);
    recorder.replay();
    captured.finish();
    EXPECT_TRUE(captured.memory().written_bytes() == want_of_other)
        << "replayed on other data, round " << round;
  }
}

void GraphReplay::attention() {
  const AttentionCase c = case_of(call());
  AttentionCase changed = c;
  if (call().change != nullptr) call().change(changed);
  for (const AttentionKernel& row : test_rows(call().op)) {
    if (row.device == DeviceType::kNative) continue;
    CaseTensors t = make_tensors(c), other = make_tensors(changed, Fill::kGuarded, 2);
    const int before = taken_;
    replay(attention_op(row.op), row, t.args, t.params, other.args, other.params);
    if (taken_ == before) continue;
    const auto verdicts = judge(t.args, t.params);
    EXPECT_TRUE(all_ok(verdicts)) << row.name << "\n" << to_string(verdicts);
  }
}

void GraphReplay::append() {
  struct Rows {
    Placed k{DType::kF8E4M3, {3, 2, 2, 8}, Strides::kContiguous, 0, 1},
        v{DType::kF32, {3, 2, 2, 5}, Strides::kContiguous, 0, 1},
        k_new{DType::kF32, {3, 2, 8}, Strides::kContiguous, 0, 1},
        v_new{DType::kF32, {3, 2, 5}, Strides::kContiguous, 0, 1};
    std::vector<int64_t> slots;
    AttentionArgs args;
    Rows(uint64_t seed, std::vector<int64_t> to) : slots(std::move(to)) {
      for (Placed* t : {&k, &v, &k_new, &v_new}) t->fill(++seed);
      args.k = k.view, args.v = v.view, args.k_new = k_new.view, args.v_new = v_new.view;
      args.seq.slot_mapping = contiguous(slots.data(), DType::kI64, {3});
    }
  };
  for (const AttentionKernel& row : test_rows(OpId::kAppend)) {
    if (row.device == DeviceType::kNative) continue;
    const Rows rows(10, {4, -1, 1}), other(20, {-1, 5, 0});
    replay(AppendKv(), row, rows.args, AttentionParams{}, other.args, AttentionParams{});
  }
}

void GraphReplay::merge() {
  struct Parts {
    Placed a = rows(), b = rows(), out = rows(), la = sums(), lb = sums(), lse = sums();
    MergeArgs args;
    static Placed rows() { return {DType::kF32, {1, 3, 2, 5}, Strides::kContiguous, 1, 2}; }
    static Placed sums() { return {DType::kF32, {1, 2, 3}, Strides::kContiguous, 2, 1}; }
    explicit Parts(uint64_t seed) {
      for (Placed* t : {&a, &b, &la, &lb}) t->fill(++seed);
      args = {a.view, la.view, b.view, lb.view, out.view, lse.view};
    }
  };
  for (const MergeKernel& row : test_merge_rows()) {
    if (row.device == DeviceType::kNative) continue;
    const Parts parts(10), other(20);
    replay(MergePartials(), row, parts.args, MergeParams{}, other.args, MergeParams{});
  }
}

void GraphReplay::gdn() {
  GdnCase c;
  c.batch = 2, c.seqlen = 5, c.chunk = 4;
  c.sizes = {1, 2, 8, 4};
  if (call().name == std::string("gdn_layer")) {
    c.conv = GdnConv::kFourBias, c.conv_state = true, c.norm = GdnNorm::kF32Weight;
    c.decay = GdnDecay::kGates, c.gated_beta = true;
    c.slots = GdnSlots::kI32;
  }
  for (const GdnKernel& row : test_gdn_rows()) {
    if (row.device == DeviceType::kNative) continue;
    GdnTensors t(c), other(c, 2);
    const GdnGold gold = other.gold();
    replay(GatedDeltaNet(), row, t.args, t.params, other.args, other.params);
    const GdnAllowed allowed = gdn_allowed(c.dtype);
    EXPECT_LE(relative_rms(t.args.out, gold.out), allowed.out) << row.name;
  }
}

TEST_P(GraphReplay, GivesADirectCallsBits) {
  switch (call().op) {
    case OpId::kAppend: append(); break;
    case OpId::kMerge: merge(); break;
    case OpId::kGdn: gdn(); break;
    default: attention(); break;
  }
  EXPECT_GE(taken_, call().rows);
}

INSTANTIATE_TEST_SUITE_P(Calls, GraphReplay,
                         ::testing::Combine(::testing::ValuesIn(kCalls),
                                            ::testing::Values(ScratchFrom::kPool,
                                                              ScratchFrom::kWorkspace)),
                         [](const auto& p) {
                           return std::get<0>(p.param).name + std::string("_") +
                                  ::testing::PrintToString(std::get<1>(p.param));
                         });

// A decode call whose keys are split, so that it wants scratch, on every device under test.
struct SplitDecode {
  CaseTensors tensors;
  DeviceCall<AttentionArgs, AttentionParams> there;
  Recorder recorder;

  explicit SplitDecode(DeviceType type)
      : tensors(make_tensors(a_case())),
        there(Device{type, 0}, tensors.args, tensors.params),
        recorder(type) {
    run({});  // loads the kernels
    there.finish();
  }
  static AttentionCase a_case() {
    for (const GraphCall& call : kCalls)
      if (call.op == OpId::kDecode) return case_of(call);
    return {};
  }
  void run(ExecContext context) {
    DecodeAttention().forward(there.args, there.params, there.context(context));
  }
};

std::vector<Device> devices() {
  std::vector<Device> there;
  for (DeviceType type : test_devices())
    if (type != DeviceType::kNative) there.push_back({type, 0});
  return there;
}

class GraphCapture : public ::testing::TestWithParam<Device> {
 protected:
  const Device device = GetParam();
  const BackendTable& table = Registry::global().backend(device.type);
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GraphCapture);  // on native alone
INSTANTIATE_TEST_SUITE_P(Devices, GraphCapture, ::testing::ValuesIn(devices()),
                         [](const auto& p) { return name(p.param.type); });

// What the captured calls above would have met, had they done it.
TEST_P(GraphCapture, MemoryThatIsNotOfTheStreamIsRefused) {
  SplitDecode call(device.type);
  ExecContext context;
  context.stream = call.recorder.stream;
  context.check_indices = CheckIndices::kOff;
  struct Planted {
    const BackendTable& table;
    int refusals = 0;
  } planted{table};
  context.allocator = {[](void* user, Device on, uint64_t bytes, uint64_t alignment, void*) {
                         auto& self = *static_cast<Planted*>(user);
                         const Allocator& from = self.table.allocator;
                         void* data = from.allocate(from.user, on, bytes, alignment, nullptr);
                         self.refusals += data == nullptr;
                         return data;
                       },
                       [](void*, Device, void*, uint64_t, void*) {}, &planted};
  Thrown refused;
  const int code = call.recorder.capture([&] { refused = thrown([&] { call.run(context); }); });
  EXPECT_EQ(planted.refusals, 1);
  EXPECT_EQ(refused.code, ErrorCode::kOutOfMemory) << refused.what;
  EXPECT_EQ(code, kCaptureBroken);
}

TEST_P(GraphCapture, WaitingIsRefusedInWords) {
  SplitDecode call(device.type);
  ExecContext context = call.there.context({});
  context.stream = call.recorder.stream;
  Thrown refused;
  int code = call.recorder.capture([&] { refused = thrown([&] { context.check(); }); });
  EXPECT_EQ(refused.code, ErrorCode::kDeviceError);
  EXPECT_THAT(refused.what, HasSubstr("failed with error " + std::to_string(kForbiddenInCapture)));
  EXPECT_EQ(code, kCaptureBroken);
  Status waited;
  code = call.recorder.capture([&] { waited = table.synchronize(device, call.recorder.stream); });
  EXPECT_EQ(waited.code, ErrorCode::kDeviceError);
  EXPECT_THAT(to_string(waited), HasSubstr("captur"));
  EXPECT_EQ(code, kCaptureBroken);
}

// The check of indices is part of the graph: a replay reports what it meets, and the next one is
// none the worse.
TEST_P(GraphCapture, AReplayReportsABadIndex) {
  SplitDecode call(device.type);
  const std::vector<std::byte> want = call.there.memory().written_bytes();
  ExecContext context;
  context.stream = call.recorder.stream;
  ASSERT_EQ(call.recorder.capture([&] { call.run(context); }), 0);
  call.tensors.reset_outputs();
  const std::vector<std::byte> good = call.there.memory().bytes();
  const TensorView& end = call.tensors.args.seq.end;
  ASSERT_EQ(end.dtype, DType::kI32);
  *static_cast<int32_t*>(end.data) = 2101;
  call.there.memory().replace(call.there.memory().bytes());
  call.recorder.replay();
  const Thrown found = thrown([&] { call.there.finish(); });
  EXPECT_EQ(found.code, ErrorCode::kOutOfRange) << found.what;
  EXPECT_THAT(found.what, HasSubstr("end[0] is 2101"));
  call.there.memory().replace(good);
  call.recorder.replay();
  call.there.finish();
  EXPECT_TRUE(call.there.memory().written_bytes() == want);
}

}  // namespace
}  // namespace attend::testing
