// The plugins on a machine without a GPU: both are listed with the reason, native runs, and what
// would need a device says why not. On a machine with one, that backend's tests are skipped.
#include <gtest/gtest.h>

#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "attend/attend.h"
#include "tests/dispatch/call.h"

namespace attend {
namespace {

using testing::MeanCall;
using testing::Thrown;
using testing::thrown;

struct Vendor {
  DeviceType device;
  const char* library;  // its driver
  const char* words;    // what is said where that is not there
};
constexpr Vendor kVendors[] = {
    {DeviceType::kCuda, "libcuda.so.1", "no NVIDIA driver on this machine"},
    {DeviceType::kRocm, "libamdhip64.so.7 or libamdhip64.so.6", "no ROCm runtime on this machine"}};

// ATTEND_GPU_PLUGINS: those of this build, "cuda rocm".
bool is_built(DeviceType device) {
  std::istringstream built(ATTEND_GPU_PLUGINS);
  for (std::string word; built >> word;)
    if (word == name(device)) return true;
  return false;
}

std::optional<Backend> backend_of(DeviceType device) {
  for (const Backend& b : Registry::global().backends())
    if (b.device == device) return b;
  return std::nullopt;
}

class NoDevice : public ::testing::TestWithParam<Vendor> {
 protected:
  void SetUp() override {
    if (!is_built(GetParam().device)) GTEST_SKIP() << "this build has no such plugin";
    const auto found = backend_of(GetParam().device);
    ASSERT_TRUE(found) << "a plugin of this build is not listed";
    if (found->device_count > 0) GTEST_SKIP() << "this machine has such a device";
    backend = *found;
  }
  Backend backend;
};
INSTANTIATE_TEST_SUITE_P(Plugins, NoDevice, ::testing::ValuesIn(kVendors),
                         [](const auto& p) { return name(p.param.device); });

TEST_P(NoDevice, IsListedWithTheReason) {
  EXPECT_EQ(backend.name, name(GetParam().device));
  EXPECT_TRUE(backend.path.ends_with("/libattend_" + backend.name + ".so")) << backend.path;
  // No driver, or one that finds nothing to drive.
  const bool no_driver = backend.status.find(GetParam().library) != std::string::npos &&
                         backend.status.find(GetParam().words) != std::string::npos;
  const bool no_device = backend.status.find("finds no device") != std::string::npos;
  EXPECT_TRUE(no_driver || no_device) << backend.status;
  EXPECT_TRUE(Registry::global().load_failures().empty());
}

TEST_P(NoDevice, EveryDoorToItSaysWhy) {
  const DeviceType type = GetParam().device;
  MeanCall there({type, 0}), here;
  const FlashAttention flash;
  const auto door =
      type == DeviceType::kCuda ? &AttentionOp::forward_cuda : &AttentionOp::forward_rocm;
  for (const Thrown& e : {thrown([&] { flash.forward(there.args, there.params); }),
                          thrown([&] { (flash.*door)(there.args, there.params, {}); })}) {
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
    EXPECT_TRUE(e.says(backend.status)) << e.what;
  }
  const Support answer = flash.supports(there.args, there.params, {type, 0});
  EXPECT_EQ(answer.code, ErrorCode::kBackendUnavailable);
  EXPECT_NE(answer.message.find(backend.status), std::string::npos) << answer.message;
  EXPECT_TRUE(there.untouched());
}

TEST_P(NoDevice, MemoryThereSaysWhy) {
  const Device device{GetParam().device, 0};
  const Tensor host = Tensor::empty(DType::kF32, {4});
  for (const Thrown& e : {thrown([&] { Tensor::empty(DType::kF32, {4}, device); }),
                          thrown([&] { Tensor::empty_pinned(DType::kF32, {4}, device); }),
                          thrown([&] { host.to(device); })}) {
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
    EXPECT_TRUE(e.says(backend.status)) << e.what;
  }
  ExecContext context;
  context.device = device;
  const Thrown check = thrown([&] { context.check(); });
  EXPECT_EQ(check.code, ErrorCode::kBackendUnavailable) << check.what;
  EXPECT_TRUE(check.says(backend.status)) << check.what;
}

// Rows are there all the same, so that `attend info` can list what would run.
TEST_P(NoDevice, ItsRowsAreListedAndNotAvailable) {
  const auto rows = Registry::global().merge_kernels(GetParam().device);
  ASSERT_FALSE(rows.empty());
  for (const MergeKernel& row : rows) {
    EXPECT_TRUE(std::string(row.name).starts_with("merge/" + backend.name + "/")) << row.name;
    const Status s = row.available({GetParam().device, 0});
    EXPECT_EQ(s.code, ErrorCode::kBackendUnavailable);
    EXPECT_EQ(to_string(s), backend.status);
  }
}

TEST_P(NoDevice, NativeRunsBesideIt) {
  MeanCall call;
  EXPECT_TRUE(std::string(FlashAttention().forward(call.args, call.params).kernel)
                  .starts_with("flash/native/"));
  EXPECT_NEAR(call.out[0], call.mean(0, 0), 1e-5);
}

}  // namespace
}  // namespace attend
