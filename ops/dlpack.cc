#include "attend/dlpack.h"

#include <dlpack/dlpack.h>

#include <cstdint>
#include <memory>
#include <string>

#include "attend/error.h"

namespace attend {
namespace {

// Type codes that DLPack gained after the header this was built with.
enum : uint8_t { kCodeBool = 6, kCodeF8E4M3Fn = 10, kCodeF8E5M2 = 12 };

struct TypeCode {
  DType dtype;
  uint8_t code, bits;
};
constexpr TypeCode kTypeCodes[] = {
    {DType::kF32, kDLFloat, 32},      {DType::kF16, kDLFloat, 16},
    {DType::kBF16, kDLBfloat, 16},    {DType::kF8E4M3, kCodeF8E4M3Fn, 8},
    {DType::kF8E5M2, kCodeF8E5M2, 8}, {DType::kI8, kDLInt, 8},
    {DType::kI32, kDLInt, 32},        {DType::kI64, kDLInt, 64},
    {DType::kBool, kCodeBool, 8},
};

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "from_dlpack: " + what);
}

DType dtype_of(const DLDataType& type) {
  for (const TypeCode& t : kTypeCodes)
    if (t.code == type.code && t.bits == type.bits && type.lanes == 1) return t.dtype;
  refuse("dtype is (code " + std::to_string(type.code) + ", bits " + std::to_string(type.bits) +
         ", lanes " + std::to_string(type.lanes) +
         "), expected f32, f16, bf16, f8_e4m3, f8_e5m2, i8, i32, i64 or bool of one lane");
}

DLDataType dl_type_of(DType dtype) {
  for (const TypeCode& t : kTypeCodes)
    if (t.dtype == dtype) return {t.code, t.bits, 1};
  return {};
}

DeviceType device_of(int type) {
  switch (type) {
    case kDLCPU:
    case kDLCUDAHost:  // page-locked memory of this process
    case kDLROCMHost: return DeviceType::kNative;
    case kDLCUDA: return DeviceType::kCuda;
    case kDLROCM: return DeviceType::kRocm;
    default:
      refuse("device type is " + std::to_string(type) +
             ", expected 1 (cpu), 2 (cuda), 10 (rocm), or 3 or 11 (their page-locked host memory)");
  }
}

// An exported tensor: the DLPack struct, its shape and the tensor it keeps alive, in one block.
struct Exported {
  DLManagedTensor managed{};
  int64_t shape[kMaxRank] = {}, stride[kMaxRank] = {};
  Tensor tensor;
};

}  // namespace

TensorView from_dlpack(const DLManagedTensor& tensor) {
  const DLTensor& t = tensor.dl_tensor;
  if (t.ndim < 0 || t.ndim > kMaxRank)
    refuse("rank is " + std::to_string(t.ndim) + ", expected at most " + std::to_string(kMaxRank));
  if (t.ndim > 0 && t.shape == nullptr)
    refuse("shape is null, expected " + std::to_string(t.ndim) + " dimensions");
  if (t.device.device_id < 0 || t.device.device_id > INT16_MAX)
    refuse("device id is " + std::to_string(t.device.device_id) + ", expected 0 to " +
           std::to_string(INT16_MAX));
  const DType dtype = dtype_of(t.dtype);
  Device device{device_of(t.device.device_type), static_cast<int16_t>(t.device.device_id)};
  if (t.device.device_type == kDLCUDAHost || t.device.device_type == kDLROCMHost)
    device.index = 0;  // theirs is the device that the memory is locked for
  TensorView view = contiguous(nullptr, dtype, {t.shape, static_cast<size_t>(t.ndim)}, device);
  if (t.strides != nullptr)
    for (int i = 0; i < t.ndim; ++i) view.stride[static_cast<size_t>(i)] = t.strides[i];
  if (t.data != nullptr) view.data = static_cast<std::byte*>(t.data) + t.byte_offset;
  return view;
}

Tensor adopt_dlpack(DLManagedTensor* tensor) {
  return Tensor::adopt(from_dlpack(*tensor), tensor, [](void* context) {
    auto* managed = static_cast<DLManagedTensor*>(context);
    if (managed->deleter != nullptr) managed->deleter(managed);
  });
}

DLManagedTensor* to_dlpack(Tensor&& tensor) {
  auto exported = std::make_unique<Exported>();
  const TensorView& view = tensor.view();
  for (size_t i = 0; i < static_cast<size_t>(view.rank); ++i) {
    exported->shape[i] = view.shape[i];
    exported->stride[i] = view.stride[i];
  }
  DLTensor& t = exported->managed.dl_tensor;
  t.data = view.data;
  t.device = {static_cast<DLDeviceType>(view.device.type), view.device.index};
  t.ndim = view.rank;
  t.dtype = dl_type_of(view.dtype);
  t.shape = exported->shape;
  t.strides = exported->stride;
  exported->managed.manager_ctx = exported.get();
  exported->managed.deleter = [](DLManagedTensor* self) {
    delete static_cast<Exported*>(self->manager_ctx);
  };
  exported->tensor = std::move(tensor);
  return &exported.release()->managed;
}

}  // namespace attend
