// What travels to a device and back, and that writing where a call may not is seen.
#include "tests/support/device_memory.h"

#include <gtest/gtest.h>

#include <numeric>

#include "attend/registry.h"
#include "tests/support/devices.h"

namespace attend::testing {
namespace {

class DeviceMemoryTest : public ::testing::TestWithParam<DeviceType> {
 protected:
  Device device() const { return {GetParam(), 0}; }
  // Writes a byte on the device, as a kernel would.
  void poke(const void* at, std::byte value) const {
    const BackendTable& table = Registry::global().backend(GetParam());
    ASSERT_TRUE(table.copy(const_cast<void*>(at), device(), &value, Device{}, 1, nullptr));
    ASSERT_TRUE(table.synchronize(device(), nullptr));
  }
  std::vector<float> floats_ = std::vector<float>(24);
};

std::vector<DeviceType> devices() {
  std::vector<DeviceType> list = test_devices();
  std::erase(list, DeviceType::kNative);
  return list;
}
INSTANTIATE_TEST_SUITE_P(Devices, DeviceMemoryTest, ::testing::ValuesIn(devices()),
                         [](const auto& p) { return name(p.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceMemoryTest);

TEST_P(DeviceMemoryTest, BringsBackWhatWasWritten) {
  std::iota(floats_.begin(), floats_.end(), 1.0f);
  TensorView view = contiguous(floats_.data(), DType::kF32, {2, 3, 4});
  view.data = floats_.data() + 23;  // backwards
  for (auto& step : view.stride) step = -step;
  DeviceMemory memory(device());
  memory.add("x", view, true);
  memory.upload();
  const TensorView there = memory.mirrored(view);
  EXPECT_EQ(there.device, device());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(there.data) % 64,
            reinterpret_cast<uintptr_t>(view.data) % 64);
  const float value = -7;
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  for (int n = 0; n < 4; ++n) poke(static_cast<std::byte*>(there.data) + n, bytes[n]);
  floats_[0] = 100;  // what is here is overwritten by what is there
  EXPECT_EQ(memory.download(), "");
  EXPECT_EQ(floats_[0], 1);
  EXPECT_EQ(floats_[23], -7);
}

TEST_P(DeviceMemoryTest, ViewsThatShareBytesShareThemThere) {
  const TensorView whole = contiguous(floats_.data(), DType::kF32, {24});
  const TensorView part = contiguous(floats_.data() + 20, DType::kF32, {4});
  DeviceMemory memory(device());
  memory.add("part", part, false);
  memory.add("whole", whole, true);
  memory.upload();
  EXPECT_EQ(static_cast<float*>(memory.mirrored(part).data),
            static_cast<float*>(memory.mirrored(whole).data) + 20);
}

TEST_P(DeviceMemoryTest, SeesWhatIsWrittenBeyondATensor) {
  const TensorView view = contiguous(floats_.data(), DType::kF32, {24});
  for (const int64_t at : {int64_t{-1}, int64_t{24 * 4}, int64_t{-64}}) {
    DeviceMemory memory(device());
    memory.add("x", view, true);
    memory.upload();
    poke(static_cast<std::byte*>(memory.mirrored(view).data) + at, std::byte{0});
    EXPECT_EQ(memory.download(),
              "x: byte " + std::to_string(at) + " from the start of its memory was written");
  }
}

TEST_P(DeviceMemoryTest, SeesThatAnInputIsWritten) {
  const TensorView view = contiguous(floats_.data(), DType::kF32, {24});
  DeviceMemory memory(device());
  memory.add("x", view, false);
  memory.upload();
  EXPECT_EQ(memory.download(), "");
  poke(memory.mirrored(view).data, std::byte{1});
  EXPECT_EQ(memory.download(), "x was written, and the call only reads it");
}

TEST_P(DeviceMemoryTest, TensorsWithoutElementsHaveNoAddress) {
  DeviceMemory memory(device());
  const TensorView none = contiguous(floats_.data(), DType::kF32, {0, 4});
  memory.add("none", none, true);
  memory.upload();
  EXPECT_EQ(memory.mirrored(none).data, nullptr);
  EXPECT_EQ(memory.mirrored(none).dim(1), 4);
  EXPECT_EQ(memory.download(), "");
}

}  // namespace
}  // namespace attend::testing
