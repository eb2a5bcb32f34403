// Exchange by the real struct of dlpack.h: what is imported is a view of the same memory, what is exported deletes
// what it holds exactly once.
#include "attend/dlpack.h"

#include <dlpack/dlpack.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/dispatch/call.h"

namespace attend {
namespace {

using testing::Thrown;
using testing::thrown;

// A tensor of another framework, and how often it has been deleted.
struct Foreign {
  float data[24] = {};
  int64_t shape[6] = {2, 3, 4, 1, 1, 1};
  int64_t stride[6] = {1, 2, 6, 0, 0, 0};  // column-major
  DLManagedTensor managed{};
  int deleted = 0;

  Foreign() {
    for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
    DLTensor& t = managed.dl_tensor;
    t.data = data;
    t.device = {kDLCPU, 0};
    t.ndim = 3;
    t.dtype = {kDLFloat, 32, 1};
    t.shape = shape;
    t.strides = stride;
    managed.manager_ctx = this;
    managed.deleter = [](DLManagedTensor* self) {
      ++static_cast<Foreign*>(self->manager_ctx)->deleted;
    };
  }
};

TEST(FromDlpack, TakesStridesAndOffset) {
  Foreign f;
  f.managed.dl_tensor.byte_offset = 2 * sizeof(float);
  const TensorView t = from_dlpack(f.managed);
  EXPECT_EQ(t.data, f.data + 2);
  EXPECT_EQ(t.rank, 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(t.dim(i), f.shape[i]);
    EXPECT_EQ(t.step(i), f.stride[i]);
  }
  EXPECT_EQ(t.dtype, DType::kF32);
  EXPECT_EQ(t.device, Device{});
  EXPECT_EQ(f.deleted, 0);
}

TEST(FromDlpack, AbsentStridesAreRowMajor) {
  Foreign f;
  f.managed.dl_tensor.strides = nullptr;
  const TensorView t = from_dlpack(f.managed);
  EXPECT_EQ(t.step(0), 12);
  EXPECT_EQ(t.step(1), 4);
  EXPECT_EQ(t.step(2), 1);
}

// Type codes as DLPack 1.1 numbers them; this machine's header may be older and not name the last ones.
constexpr std::tuple<DType, uint8_t, uint8_t> kTypes[] = {
    {DType::kF32, 2, 32},    {DType::kF16, 2, 16},    {DType::kBF16, 4, 16},
    {DType::kF8E4M3, 10, 8}, {DType::kF8E5M2, 12, 8}, {DType::kI8, 0, 8},
    {DType::kI32, 0, 32},    {DType::kI64, 0, 64},    {DType::kBool, 6, 8},
};

TEST(FromDlpack, KnowsEveryElementTypeAndDevice) {
  static_assert(kDLInt == 0 && kDLFloat == 2 && kDLBfloat == 4);
  for (const auto& [dtype, code, bits] : kTypes) {
    Foreign f;
    f.managed.dl_tensor.dtype = {code, bits, 1};
    EXPECT_EQ(from_dlpack(f.managed).dtype, dtype) << name(dtype);
  }
  for (const auto& [type, device] : {std::pair{kDLCPU, DeviceType::kNative},
                                     {kDLCUDA, DeviceType::kCuda},
                                     {kDLROCM, DeviceType::kRocm}}) {
    Foreign f;
    f.managed.dl_tensor.device = {type, 3};
    EXPECT_EQ(from_dlpack(f.managed).device, (Device{device, 3}));
  }
  // Page-locked memory is the host's; the number names the device that it is locked for.
  for (const DLDeviceType type : {kDLCUDAHost, kDLROCMHost}) {
    Foreign f;
    f.managed.dl_tensor.device = {type, 3};
    EXPECT_EQ(from_dlpack(f.managed).device, Device{});
  }
}

TEST(FromDlpack, ShapesWithoutElementsOrDimensions) {
  Foreign f;
  f.shape[1] = 0;
  f.managed.dl_tensor.data = nullptr;
  const TensorView none = from_dlpack(f.managed);
  EXPECT_TRUE(none);
  EXPECT_EQ(none.num_elements(), 0);
  Foreign scalar;
  scalar.managed.dl_tensor.ndim = 0;
  scalar.managed.dl_tensor.shape = nullptr;
  scalar.managed.dl_tensor.strides = nullptr;
  const TensorView one = from_dlpack(scalar.managed);
  EXPECT_EQ(one.rank, 0);
  EXPECT_EQ(one.num_elements(), 1);
}

TEST(FromDlpack, RefusesWhatAttendDoesNotKnow) {
  const auto refused = [](auto&& spoil, const std::string& words) {
    Foreign f;
    spoil(f, f.managed.dl_tensor);
    const Thrown view = thrown([&] { from_dlpack(f.managed); });
    EXPECT_EQ(view.code, ErrorCode::kInvalidArgument) << words;
    EXPECT_TRUE(view.says(words)) << view.what << "\nwanted " << words;
    // On error the caller still owns the tensor.
    EXPECT_EQ(thrown([&] { adopt_dlpack(&f.managed); }).code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(f.deleted, 0);
  };
  refused([](Foreign&, DLTensor& t) { t.dtype = {kDLFloat, 64, 1}; }, "bits 64");
  refused([](Foreign&, DLTensor& t) { t.dtype = {kDLUInt, 8, 1}; }, "code 1");
  refused([](Foreign&, DLTensor& t) { t.dtype = {kDLComplex, 64, 1}; }, "code 5");
  refused([](Foreign&, DLTensor& t) { t.dtype = {kDLFloat, 32, 4}; }, "lanes 4");
  refused([](Foreign&, DLTensor& t) { t.dtype = {11, 8, 1}; }, "code 11");  // e4m3fnuz, other bits
  refused([](Foreign&, DLTensor& t) { t.device = {kDLMetal, 0}; }, "device type is 8");
  refused([](Foreign&, DLTensor& t) { t.device = {kDLVulkan, 0}; }, "device type is 7");
  refused([](Foreign&, DLTensor& t) { t.device = {kDLCUDA, 70000}; }, "70000");
  refused([](Foreign&, DLTensor& t) { t.device = {kDLCUDA, -1}; }, "-1");
  refused([](Foreign&, DLTensor& t) { t.ndim = 6; }, "rank is 6");
  refused([](Foreign&, DLTensor& t) { t.ndim = -1; }, "rank is -1");
  refused([](Foreign&, DLTensor& t) { t.shape = nullptr; }, "shape is null");
  refused([](Foreign& f, DLTensor&) { f.shape[1] = -3; }, "dim 1 is -3");
  refused([](Foreign& f, DLTensor&) { f.shape[0] = f.shape[1] = int64_t{1} << 40; }, "64 bits");
}

TEST(AdoptDlpack, DeletesOnceWhenTheTensorGoes) {
  Foreign f;
  {
    Tensor t = adopt_dlpack(&f.managed);
    EXPECT_EQ(t.data<float>(), f.data);
    const Tensor moved = std::move(t);
    EXPECT_EQ(f.deleted, 0);
  }
  EXPECT_EQ(f.deleted, 1);
  Foreign unowned;  // a producer that has nothing to delete gives none
  unowned.managed.deleter = nullptr;
  { const Tensor t = adopt_dlpack(&unowned.managed); }
}

TEST(ToDlpack, TellsWhatItHoldsAndDeletesOnce) {
  int deleted = 0;
  float data[24];
  const TensorView view = transposed(contiguous(data, DType::kF32, {2, 3, 4}), 0, 2);
  DLManagedTensor* managed =
      to_dlpack(Tensor::adopt(view, &deleted, [](void* n) { ++*static_cast<int*>(n); }));
  ASSERT_NE(managed, nullptr);
  const DLTensor& t = managed->dl_tensor;
  EXPECT_EQ(static_cast<char*>(t.data) + t.byte_offset, static_cast<void*>(data));
  EXPECT_EQ(t.ndim, 3);
  ASSERT_NE(t.strides, nullptr);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(t.shape[i], view.dim(i));
    EXPECT_EQ(t.strides[i], view.step(i));
  }
  EXPECT_EQ(t.device.device_type, kDLCPU);
  EXPECT_EQ(t.device.device_id, 0);
  EXPECT_EQ(deleted, 0);
  ASSERT_NE(managed->deleter, nullptr);
  managed->deleter(managed);
  EXPECT_EQ(deleted, 1);
}

TEST(ToDlpack, WritesEveryElementTypeAsDlpackDoes) {
  for (const auto& [dtype, code, bits] : kTypes) {
    DLManagedTensor* managed = to_dlpack(Tensor::empty(dtype, {2}));
    EXPECT_EQ(managed->dl_tensor.dtype.code, code) << name(dtype);
    EXPECT_EQ(managed->dl_tensor.dtype.bits, bits) << name(dtype);
    EXPECT_EQ(managed->dl_tensor.dtype.lanes, 1) << name(dtype);
    managed->deleter(managed);
  }
  alignas(8) char memory[8];
  for (const auto& [type, device] :
       {std::pair{kDLCUDA, DeviceType::kCuda}, {kDLROCM, DeviceType::kRocm}}) {
    DLManagedTensor* managed = to_dlpack(
        Tensor::adopt(contiguous(memory, DType::kF32, {2}, {device, 2}), nullptr, nullptr));
    EXPECT_EQ(managed->dl_tensor.device.device_type, type);
    EXPECT_EQ(managed->dl_tensor.device.device_id, 2);
    managed->deleter(managed);
  }
}

TEST(RoundTrip, MovesNoByte) {
  Foreign f;
  DLManagedTensor* out = to_dlpack(adopt_dlpack(&f.managed));
  EXPECT_EQ(out->dl_tensor.data, f.data);
  EXPECT_EQ(f.deleted, 0);
  {
    const Tensor back = adopt_dlpack(out);
    EXPECT_EQ(back.data<float>(), f.data);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(back.view().step(i), f.stride[i]);
    EXPECT_EQ(f.deleted, 0);
  }
  EXPECT_EQ(f.deleted, 1);
}

}  // namespace
}  // namespace attend
