// What every plugin does with a device, whoever executes it: memory, copies, doors, errors of
// contents, several threads at once. The numbers of the operators are tests/kernels' business.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "attend/attend.h"
#include "tests/dispatch/call.h"
#include "tests/support/devices.h"

namespace attend {
namespace {

using testing::MeanCall;
using testing::Thrown;
using testing::thrown;

std::vector<Device> devices() {
  std::vector<Device> there;
  for (DeviceType type : testing::test_devices())
    if (type != DeviceType::kNative) there.push_back({type, 0});
  return there;
}

class OnDevice : public ::testing::TestWithParam<Device> {
 protected:
  Device device = GetParam();
};
// A run on native alone (ATTEND_TEST_DEVICES) has nothing to do here.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OnDevice);
INSTANTIATE_TEST_SUITE_P(Plugins, OnDevice, ::testing::ValuesIn(devices()),
                         [](const auto& p) { return name(p.param.type); });

Tensor filled(std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  return Tensor::adopt(contiguous(values.data(), DType::kF32, {n}), nullptr, nullptr);
}
std::vector<float> numbers(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.5f - 3.0f;
  return values;
}
std::vector<float> read(const Tensor& t) {
  const Tensor here = t.to(Device{});
  const auto* data = here.data<float>();
  return {data, data + here.view().num_elements()};
}

// Two parts of one weight: out is their mean, exactly.
struct MeanOfTwo {
  static constexpr int64_t kRows = 5, kHeads = 3, kDim = 40;
  std::vector<float> a = numbers(kRows * kHeads * kDim), b = a;
  Tensor out_a, out_b, lse, out;
  MergeArgs args;
  explicit MeanOfTwo(Device device, float times = 3.0f) {
    std::vector<float> ones(kRows * kHeads, 0.25f), nothing(a.size(), -77.0f);
    for (float& x : b) x = x * times + 1.0f;
    const auto there = [&](std::vector<float>& from) { return filled(from).to(device); };
    out_a = there(a), out_b = there(b), lse = there(ones), out = there(nothing);
    const auto rows = [&](const Tensor& t) {
      return contiguous(t.view().data, DType::kF32, {kRows, kHeads, kDim}, device);
    };
    args.out_a = rows(out_a), args.out_b = rows(out_b), args.out = rows(out);
    args.lse_a = args.lse_b = contiguous(lse.view().data, DType::kF32, {kHeads, kRows}, device);
  }
  void expect_means() const {
    const std::vector<float> got = read(out);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], (a[i] + b[i]) / 2) << i;
  }
};

// MeanCall with its tensors on a device.
struct CallThere {
  MeanCall host;
  Tensor q, k, v, out;
  AttentionArgs args;
  explicit CallThere(Device device, OpId op = OpId::kFlash) : host(op) {
    const auto there = [&](const TensorView& t) {
      return Tensor::adopt(t, nullptr, nullptr).to(device);
    };
    q = there(host.args.q), k = there(host.args.k), v = there(host.args.v);
    out = there(host.args.out);
    args.q = q, args.k = k, args.v = v, args.out = out;
  }
};

TEST_P(OnDevice, IsCalledWhatExecutesIt) {
  const char* simt = std::getenv("ATTEND_SIMT");
  const bool on_host = simt != nullptr && std::string(simt) == "1";
  const std::string called = Registry::global().backend(device.type).device_name(device.index);
  EXPECT_EQ(called.ends_with("(host execution)"), on_host) << called;
  EXPECT_GT(called.size(), std::strlen(" (host execution)"));
}

TEST_P(OnDevice, CopiesThereAndBack) {
  for (int64_t count : {1, 3, 1000, 70000}) {
    std::vector<float> values = numbers(count);
    const Tensor there = filled(values).to(device);
    EXPECT_EQ(there.view().device, device);
    EXPECT_EQ(read(there), values);
    EXPECT_EQ(read(there.to(device)), values);
  }
  const Tensor none = Tensor::empty(DType::kF32, {0, 7}, device);
  EXPECT_EQ(none.to(Device{}).view().dim(1), 7);
}

TEST_P(OnDevice, CopiesStridedTensors) {
  std::vector<float> values = numbers(6);
  const Tensor there = filled(values).to(device);
  const TensorView rows = contiguous(there.view().data, DType::kF32, {2, 3}, device);
  const Tensor columns = Tensor::adopt(transposed(rows, 0, 1), nullptr, nullptr);
  const std::vector<float> want = {values[0], values[3], values[1],
                                   values[4], values[2], values[5]};
  EXPECT_EQ(read(columns), want);
  EXPECT_EQ(read(columns.to(device)), want);
}

TEST_P(OnDevice, CopiesToTheOtherDevices) {
  std::vector<float> values = numbers(100);
  const Tensor there = filled(values).to(device);
  for (const Device other : devices()) {
    const Tensor further = there.to(other);
    EXPECT_EQ(further.view().device, other);
    EXPECT_EQ(read(further), values);
  }
}

// Without elements there is no order of them: neither strides nor missing memory keep a tensor here.
TEST_P(OnDevice, TensorsWithoutElementsTravel) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{0}, {2, 0, 3}, {3, 4, 0}, {0, 2}}) {
    const Tensor there = Tensor::empty(DType::kF32, shape).to(device);
    EXPECT_EQ(there.view().device, device);
    const Tensor back = there.to(Device{});
    EXPECT_EQ(back.view().num_elements(), 0);
    EXPECT_EQ(back.view().dim(0), shape[0]);
  }
}

// An index that no device has: every door says the same.
TEST_P(OnDevice, ADeviceThatIsNotThere) {
  const Device none{device.type, 7};
  MeanOfTwo call(device);
  for (TensorView* t : {&call.args.out_a, &call.args.lse_a, &call.args.out_b, &call.args.lse_b,
                        &call.args.out, &call.args.lse})
    t->device = none;
  ExecContext context;
  context.device = none;
  const std::string words = ": device is " + to_string(none) + ", expected one of ";
  const auto expect = [&](const std::string& where, const Thrown& e) {
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
    EXPECT_TRUE(e.says(where + words)) << e.what;
  };
  expect("merge", thrown([&] { MergePartials().forward(call.args, {}); }));
  expect("ExecContext::check", thrown([&] { context.check(); }));
  expect("Tensor::empty", thrown([&] { Tensor::empty(DType::kF32, {4}, none); }));
  EXPECT_EQ(read(call.out)[0], -77.0f);
}

TEST_P(OnDevice, PinnedMemoryIsNative) {
  Tensor pinned = Tensor::empty_pinned(DType::kF32, {2, 50}, device);
  EXPECT_EQ(pinned.view().device, Device{});
  const std::vector<float> values = numbers(100);
  std::memcpy(pinned.view().data, values.data(), 400);
  const Tensor there = pinned.to(device);
  EXPECT_EQ(read(there), values);
  std::memset(pinned.view().data, 0, 400);
  const BackendTable& backend = Registry::global().backend(device.type);
  ASSERT_TRUE(backend.copy(pinned.view().data, {}, there.view().data, device, 400, nullptr));
  ASSERT_TRUE(backend.synchronize(device, nullptr));
  EXPECT_EQ(std::memcmp(pinned.view().data, values.data(), 400), 0);
  EXPECT_EQ(Tensor::empty_pinned(DType::kF32, {0}, device).view().num_elements(), 0);
}

TEST_P(OnDevice, MemoryThatItDoesNotHaveIsAnError) {
  const int64_t too_much = int64_t{1} << 50;
  const Thrown e = thrown([&] { Tensor::empty(DType::kI8, {too_much}, device); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfMemory) << e.what;
  EXPECT_TRUE(e.says(std::to_string(too_much) + " bytes") && e.says(to_string(device))) << e.what;
  const Device next{device.type, 99};
  const Thrown none = thrown([&] { Tensor::empty(DType::kI8, {1}, next); });
  EXPECT_EQ(none.code, ErrorCode::kBackendUnavailable);
  EXPECT_TRUE(none.says("device is " + to_string(next))) << none.what;
}

TEST_P(OnDevice, DoorsRunThere) {
  const std::string kernel = std::string("merge/") + name(device.type) + "/portable";
  for (const bool named : {false, true}) {
    const MeanOfTwo call(device);
    const MergePartials merge;
    const RunResult result = !named                             ? merge.forward(call.args, {})
                             : device.type == DeviceType::kCuda ? merge.forward_cuda(call.args, {})
                                                                : merge.forward_rocm(call.args, {});
    EXPECT_EQ(result.kernel, kernel);
    call.expect_means();
    const Thrown e = thrown([&] { merge.forward_native(call.args, {}); });
    EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(e.says(std::string("forward_native: out_a is on ") + name(device.type) +
                       ", expected native"))
        << e.what;
  }
}

TEST_P(OnDevice, TensorsOfTwoDevicesAreRefused) {
  MeanOfTwo call(device);
  float here[MeanOfTwo::kRows * MeanOfTwo::kHeads];
  call.args.lse_b = contiguous(here, DType::kF32, {MeanOfTwo::kHeads, MeanOfTwo::kRows});
  const Thrown e = thrown([&] { MergePartials().forward(call.args, {}); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(
      e.says("merge: lse_b is on native:0, expected " + to_string(device) + " (device of out_a)"))
      << e.what;
  EXPECT_EQ(read(call.out)[0], -77.0f);
}

// Addresses tell what overlaps; nothing of the tensors is read for it.
TEST_P(OnDevice, OverlapsAreRefused) {
  MeanOfTwo call(device);
  call.args.out.data = static_cast<float*>(call.out_a.view().data) + MeanOfTwo::kDim;
  call.args.out.shape[0] = call.args.out_a.shape[0] = call.args.out_b.shape[0] = 4;
  for (TensorView* t : {&call.args.lse_a, &call.args.lse_b}) t->shape[1] = 4;
  const Thrown e = thrown([&] { MergePartials().forward(call.args, {}); });
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(e.says("merge: out memory overlaps out_a")) << e.what;
}

// The first call of a kernel on a device loads it: all threads may be first.
TEST_P(OnDevice, ThreadsCallAtOnce) {
  std::vector<MeanOfTwo> calls;
  for (int n = 0; n < 4; ++n) calls.emplace_back(device, static_cast<float>(n));
  std::vector<std::string> errors(calls.size());
  std::vector<std::thread> threads;
  for (size_t n = 0; n < calls.size(); ++n)
    threads.emplace_back([&, n] {
      for (int repeat = 0; repeat < 3; ++repeat)
        errors[n] += thrown([&] { MergePartials().forward(calls[n].args, {}); }).what;
    });
  for (std::thread& t : threads) t.join();
  for (size_t n = 0; n < calls.size(); ++n) {
    EXPECT_EQ(errors[n], "");
    calls[n].expect_means();
  }
}

// A call on a thread of another program leaves that thread's current context as it was: here none.
TEST_P(OnDevice, TheThreadsContextIsAsBefore) {
  if (device.type != DeviceType::kCuda) GTEST_SKIP() << "only CUDA keeps a stack of contexts";
  void* driver = dlopen(ATTEND_STAND_IN_CUDA, RTLD_NOW | RTLD_NOLOAD);
  if (driver == nullptr) GTEST_SKIP() << "the driver is not the stand-in";
  const auto current = reinterpret_cast<int (*)(void**)>(dlsym(driver, "cuCtxGetCurrent"));
  ASSERT_NE(current, nullptr);
  std::thread([&] {
    const MeanOfTwo call(device);
    MergePartials().forward(call.args, {});
    void* context = this;
    EXPECT_EQ(current(&context), 0);
    EXPECT_EQ(context, nullptr);
  }).join();
}

// A bad index is met on the device: the call returns, check() tells, once.
TEST_P(OnDevice, BadIndicesReachTheDevicesOwnWord) {
  CallThere call(device, OpId::kDecode);
  int32_t ends[1] = {99};
  const Tensor end = Tensor::adopt(contiguous(ends, DType::kI32, {1}), nullptr, nullptr).to(device);
  call.args.seq.end = end;
  ExecContext context;
  context.device = device;
  context.check_indices = CheckIndices::kOn;
  EXPECT_NO_THROW(context.check());
  ASSERT_NO_THROW(DecodeAttention().forward(call.args, {}, context));
  const Thrown e = thrown([&] { context.check(); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfRange) << e.what;
  EXPECT_TRUE(e.says("end[0] is 99")) << e.what;
  EXPECT_NO_THROW(context.check());
  EXPECT_EQ(read(call.out)[0], -77.0f);
}

// Words that the library resolves before a kernel is asked mean the same there.
TEST_P(OnDevice, InitBiasIsOfTheDevice) {
  CallThere call(device);
  const float hidden = -std::numeric_limits<float>::infinity();
  std::vector<float> values = {hidden, 0, hidden, hidden};  // key 1 alone is left
  const Tensor bias = filled(values).to(device);
  TensorView made = bias;
  AttentionParams params;
  params.init_bias = {[](void* user) { return *static_cast<TensorView*>(user); }, &made};
  VanillaAttention().forward(call.args, params);
  const std::vector<float> got = read(call.out);
  for (int64_t h = 0; h < MeanCall::kHeads; ++h)
    for (int64_t e = 0; e < MeanCall::kDim; ++e)
      EXPECT_EQ(got[static_cast<size_t>(h * MeanCall::kDim + e)],
                call.host.v[static_cast<size_t>((MeanCall::kHeads + h) * MeanCall::kDim + e)]);
  made = filled(values).view();  // of native
  const Thrown e = thrown([&] { VanillaAttention().forward(call.args, params); });
  EXPECT_TRUE(
      e.says("vanilla: bias is on native:0, expected " + to_string(device) + " (device of q)"))
      << e.what;
}

TEST_P(OnDevice, SdpaStandsAtTheTopLeft) {
  const CallThere call(device);
  AttentionParams params;
  params.mask.causal = true;
  SdpaAttention().forward(call.args, params);
  const std::vector<float> top_left = read(call.out);
  FlashAttention().forward(call.args, params);
  const std::vector<float> bottom_right = read(call.out);
  for (size_t e = 0; e < MeanCall::kHeads * MeanCall::kDim; ++e) {
    const size_t next = MeanCall::kHeads * MeanCall::kDim;
    EXPECT_EQ(top_left[e], call.host.v[e]);  // row 0 sees key 0
    EXPECT_NEAR(bottom_right[e], (call.host.v[e] + call.host.v[e + next]) / 2, 1e-5);
  }
}

TEST_P(OnDevice, SplashFallsBackThere) {
  CallThere call(device);
  const RunResult plain = SplashAttention().forward(call.args, {});
  EXPECT_TRUE(std::string(plain.kernel).starts_with(std::string("vanilla/") + name(device.type)))
      << plain.kernel;
  EXPECT_EQ(plain.note, std::string("splash: the call is neither causal nor sparse; vanilla ran"));
  EXPECT_NEAR(read(call.out)[0], call.host.mean(0, 0), 1e-5);
}

TEST_P(OnDevice, RingOfOneProcessRunsThere) {
  const CallThere call(device);
  const RunResult ran = RingAttention().forward(call.args, {});
  EXPECT_TRUE(std::string(ran.kernel).starts_with(std::string("ring/") + name(device.type)))
      << ran.kernel;
  EXPECT_NEAR(read(call.out)[0], call.host.mean(0, 0), 1e-5);
  // The same over a transport that knows native memory alone: its blocks go there and back.
  InProcessRing ring(1);
  AttentionParams params;
  params.ring_transport = ring.transport(0);
  const CallThere over(device);
  RingAttention().forward(over.args, params);
  EXPECT_NEAR(read(over.out)[0], over.host.mean(0, 0), 1e-5);
}

}  // namespace
}  // namespace attend
