// A machine whose GPU is of an architecture that the plugin carries no code for, with a driver that
// works: the device is listed, every call to it says why not, and native runs. The driver is the
// stand-in under the name of the vendor's own, so that the plugin takes it for one (CMakeLists.txt).
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "attend/attend.h"
#include "tests/dispatch/call.h"

namespace attend {
namespace {

using testing::MeanCall;
using testing::Thrown;
using testing::thrown;

class NoCode : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const named = std::getenv("ATTEND_BACKENDS");
    type = named != nullptr && named == std::string("rocm") ? DeviceType::kRocm : DeviceType::kCuda;
    const bool cuda = type == DeviceType::kCuda;
    why = ATTEND_HAVE_IMAGES ? cuda ? "NVIDIA T4 is of architecture sm_75, for which this build "
                                      "carries no code"
                                    : "AMD Instinct MI50 is of architecture gfx906, for which this "
                                      "build carries no code"
                             : "this build carries no device code (ATTEND_GPU_IMAGES)";
  }
  DeviceType type;
  std::string why;
};

TEST_F(NoCode, TheDeviceIsListed) {
  const BackendTable& table = Registry::global().backend(type);
  EXPECT_EQ(table.device_count(), 1);
  EXPECT_TRUE(table.status()) << to_string(table.status());
  EXPECT_STREQ(table.device_name(0), type == DeviceType::kCuda ? "NVIDIA T4" : "AMD Instinct MI50");
}

TEST_F(NoCode, EveryDoorToItSaysWhy) {
  MeanCall there({type, 0}), here;
  const FlashAttention flash;
  const auto door =
      type == DeviceType::kCuda ? &AttentionOp::forward_cuda : &AttentionOp::forward_rocm;
  for (const Thrown& e : {thrown([&] { flash.forward(there.args, there.params); }),
                          thrown([&] { (flash.*door)(there.args, there.params, {}); })}) {
    EXPECT_EQ(e.code, ErrorCode::kUnsupported) << e.what;
    EXPECT_TRUE(e.says(why)) << e.what;
  }
  const Support answer = flash.supports(there.args, there.params, {type, 0});
  EXPECT_EQ(answer.code, ErrorCode::kUnsupported);
  EXPECT_NE(answer.message.find(why), std::string::npos) << answer.message;
  EXPECT_TRUE(there.untouched());
}

TEST_F(NoCode, EveryRowSaysWhy) {
  int rows = 0;
  const auto look = [&](const auto& row) {
    const Status s = row.available({type, 0});
    EXPECT_EQ(s.code, ErrorCode::kUnsupported) << row.name;
    EXPECT_EQ(to_string(s), why) << row.name;
    ++rows;
  };
  for (const OpId op : {OpId::kVanilla, OpId::kFlash, OpId::kPaged, OpId::kSplash, OpId::kDecode,
                        OpId::kSdpa, OpId::kRing, OpId::kAppend})
    for (const AttentionKernel& row : Registry::global().attention_kernels(op, type)) {
      // A vendor's library has code of its own.
      if (!std::string(row.name).ends_with("/cudnn")) look(row);
    }
  for (const GdnKernel& row : Registry::global().gdn_kernels(type)) look(row);
  for (const MergeKernel& row : Registry::global().merge_kernels(type)) look(row);
  EXPECT_GE(rows, 10);
}

// The driver's own work needs no code.
TEST_F(NoCode, MemoryThereIsOfUse) {
  float values[] = {1, 2, 3};
  const Tensor host =
      Tensor::adopt(contiguous(static_cast<void*>(values), DType::kF32, {3}), nullptr, nullptr);
  const Tensor back = host.to({type, 0}).to(Device{});
  for (size_t n = 0; n < 3; ++n) EXPECT_EQ(back.data<float>()[n], values[n]);
}

TEST_F(NoCode, NativeRunsBesideIt) {
  MeanCall call;
  EXPECT_TRUE(std::string(FlashAttention().forward(call.args, call.params).kernel)
                  .starts_with("flash/native/"));
  EXPECT_NEAR(call.out[0], call.mean(0, 0), 1e-5);
}

}  // namespace
}  // namespace attend
