// Memory of a backend of another shared object: tensors live in it, go there and back, and what it
// cannot give is told in words.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "attend/attend.h"
#include "tests/dispatch/plugin_fixture.h"
#include "tests/support/thrown.h"

namespace attend {
namespace {

using testing::kCuda0;
using testing::kRocm0;
using testing::Plugin;
using testing::Thrown;
using testing::thrown;

TEST_F(Plugin, TensorsUseItsAllocator) {
  {
    const Tensor t = Tensor::empty(DType::kBF16, {3, 5}, kCuda0);
    EXPECT_EQ(cuda.live_blocks, 1);
    EXPECT_EQ(cuda.live_bytes, 30);
    EXPECT_EQ(t.view().device, kCuda0);
    EXPECT_NE(reinterpret_cast<uint64_t>(t.view().data) & kFakeDeviceBit, 0u);
    Tensor moved = Tensor::empty(DType::kF32, {2}, kCuda0);
    EXPECT_EQ(cuda.live_blocks, 2);
    moved = Tensor::empty(DType::kF32, {4}, kCuda0);
    EXPECT_EQ(cuda.live_blocks, 2);
    EXPECT_EQ(cuda.live_bytes, 46);
  }
  EXPECT_EQ(cuda.live_blocks, 0);
  cuda.out_of_memory = true;
  const Thrown e = thrown([] { Tensor::empty(DType::kF32, {3, 5}, kCuda0); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfMemory);
  EXPECT_TRUE(e.says("60 bytes") && e.says("cuda:0")) << e.what;
}

TEST_F(Plugin, TensorsGoThereAndBack) {
  int32_t data[6] = {1, 2, 3, 4, 5, 6};
  const TensorView view = contiguous(data, DType::kI32, {2, 3});
  // Strided on native: what arrives is row-major.
  const Tensor there = Tensor::adopt(transposed(view, 0, 1), nullptr, nullptr).to(kCuda0);
  EXPECT_EQ(there.view().shape[0], 3);
  EXPECT_EQ(there.view().stride[0], 2);
  EXPECT_EQ(cuda.copies, 1);
  EXPECT_EQ(cuda.synchronizes, 1);
  const auto expect_transposed = [](const Tensor& t) {
    ASSERT_EQ(t.view().device, Device{});
    const int32_t want[6] = {1, 4, 2, 5, 3, 6};
    EXPECT_EQ(std::memcmp(t.data<int32_t>(), want, sizeof want), 0);
  };
  expect_transposed(there.to(Device{}));
  expect_transposed(there.to(kCuda0).to(Device{}));

  // A vendor's copy knows its own memory and the host's, so the way to another vendor's is over the
  // host.
  const Tensor rocm_side = there.to(kRocm0);
  EXPECT_EQ(rocm_side.view().device, kRocm0);
  EXPECT_EQ(rocm.live_blocks, 1);
  expect_transposed(rocm_side.to(Device{}));

  // Strided on the device: what arrives, there or on native, is row-major.
  const Tensor strided = Tensor::adopt(transposed(there, 0, 1), nullptr, nullptr);
  const int32_t rows[6] = {1, 2, 3, 4, 5, 6};
  for (const Device to : {Device{}, kCuda0, kRocm0}) {
    const Tensor row_major = strided.to(to);
    EXPECT_EQ(row_major.view().device, to);
    EXPECT_EQ(row_major.view().stride[0], 3);
    EXPECT_EQ(std::memcmp(row_major.to(Device{}).data<int32_t>(), rows, sizeof rows), 0);
  }
  TensorView backwards = contiguous(there.view().data, DType::kI32, {6}, kCuda0);
  backwards.data = static_cast<int32_t*>(backwards.data) + 5;
  backwards.stride[0] = -1;
  const Tensor reversed = Tensor::adopt(backwards, nullptr, nullptr).to(Device{});
  const int32_t last_first[6] = {6, 3, 5, 2, 4, 1};
  EXPECT_EQ(std::memcmp(reversed.data<int32_t>(), last_first, sizeof last_first), 0);

  const Tensor none = Tensor::empty(DType::kI32, {0, 3}, kCuda0);
  EXPECT_EQ(none.to(Device{}).view().shape[1], 3);
}

TEST_F(Plugin, AFailingCopyComesBackWithItsNumberAndLeaksNothing) {
  const Tensor host = Tensor::empty(DType::kF32, {4});
  cuda.copy_fails = true;
  const Thrown e = thrown([&] { host.to(kCuda0); });
  EXPECT_EQ(e.code, ErrorCode::kDeviceError);
  EXPECT_TRUE(e.says("copy failed with 700")) << e.what;
  EXPECT_EQ(cuda.live_blocks, 0);
}

TEST_F(Plugin, PinnedMemoryIsNativeAndOfItsAllocator) {
  {
    const Tensor t = Tensor::empty_pinned(DType::kF32, {2, 3}, kCuda0);
    EXPECT_EQ(cuda.live_pinned, 1);
    EXPECT_EQ(cuda.live_blocks, 0);
    EXPECT_EQ(t.view().device, Device{});
    EXPECT_EQ(t.view().stride[0], 3);
    std::memset(t.view().data, 0, 24);
  }
  EXPECT_EQ(cuda.live_pinned, 0);
  EXPECT_EQ(Tensor::empty_pinned(DType::kF32, {2}, Device{}).view().device, Device{});
  cuda.out_of_memory = true;
  const Thrown e = thrown([] { Tensor::empty_pinned(DType::kF32, {3, 5}, kCuda0); });
  EXPECT_EQ(e.code, ErrorCode::kOutOfMemory);
  EXPECT_TRUE(e.says("Tensor::empty_pinned: 60 bytes") && e.says("cuda:0")) << e.what;
}

TEST_F(Plugin, MemoryOfADeviceItDoesNotHaveIsRefused) {
  const Device other{DeviceType::kCuda, 4};
  for (const Thrown& e : {thrown([&] { Tensor::empty(DType::kF32, {2}, other); }),
                          thrown([&] { Tensor::empty_pinned(DType::kF32, {2}, other); }),
                          thrown([&] { Tensor::empty(DType::kF32, {2}).to(other); })}) {
    EXPECT_EQ(e.code, ErrorCode::kBackendUnavailable) << e.what;
    EXPECT_TRUE(e.says("device is cuda:4, expected one of 1 cuda devices")) << e.what;
  }
}

}  // namespace
}  // namespace attend
