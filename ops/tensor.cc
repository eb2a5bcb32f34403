#include "attend/tensor.h"

#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "attend/error.h"
#include "attend/registry.h"

namespace attend {

const char* name(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kF16: return "f16";
    case DType::kBF16: return "bf16";
    case DType::kF8E4M3: return "f8_e4m3";
    case DType::kF8E5M2: return "f8_e5m2";
    case DType::kI8: return "i8";
    case DType::kI32: return "i32";
    case DType::kI64: return "i64";
    case DType::kBool: return "bool";
  }
  return "unknown";
}

const char* name(DeviceType type) noexcept {
  switch (type) {
    case DeviceType::kNative: return "native";
    case DeviceType::kCuda: return "cuda";
    case DeviceType::kRocm: return "rocm";
  }
  return "unknown";
}

std::string to_string(Device device) {
  return std::string(name(device.type)) + ":" + std::to_string(device.index);
}

std::string to_string(const TensorView& view) {
  std::string text = std::string(name(view.dtype)) + "[";
  for (int i = 0; i < view.rank; ++i) text += (i == 0 ? "" : ", ") + std::to_string(view.dim(i));
  return text + "] on " + to_string(view.device);
}

TensorView contiguous(void* data, DType dtype, std::span<const int64_t> shape, Device device) {
  if (shape.size() > kMaxRank)
    throw Error(ErrorCode::kInvalidArgument, "contiguous: shape rank is " +
                                                 std::to_string(shape.size()) +
                                                 ", expected at most " + std::to_string(kMaxRank));
  TensorView view;
  view.data = data;
  view.dtype = dtype;
  view.device = device;
  view.rank = static_cast<int32_t>(shape.size());
  int64_t elements = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] < 0)
      throw Error(ErrorCode::kInvalidArgument, "contiguous: shape dim " + std::to_string(i) +
                                                   " is " + std::to_string(shape[i]) +
                                                   ", expected 0 or more");
    view.shape[i] = shape[i];
    view.stride[i] = elements;
    if (__builtin_mul_overflow(elements, shape[i] == 0 ? 1 : shape[i], &elements))
      throw Error(ErrorCode::kInvalidArgument,
                  "contiguous: shape has more elements than 64 bits count, expected fewer");
  }
  return view;
}

TensorView transposed(const TensorView& view, int a, int b) {
  for (int dim : {a, b})
    if (dim < -view.rank || dim >= view.rank)
      throw Error(ErrorCode::kInvalidArgument, "transposed: dimension is " + std::to_string(dim) +
                                                   ", expected within rank " +
                                                   std::to_string(view.rank));
  const auto at = [&](int dim) { return static_cast<size_t>(dim < 0 ? view.rank + dim : dim); };
  TensorView result = view;
  std::swap(result.shape[at(a)], result.shape[at(b)]);
  std::swap(result.stride[at(a)], result.stride[at(b)]);
  return result;
}

namespace {

constexpr uint64_t kAlignment = 64;  // a cache line, and the widest vector

// What a device tensor needs to go: its backend's allocator and the size it was given.
struct DeviceBlock {
  Allocator allocator;
  Device device;
  void* data;
  uint64_t bytes;
};

void free_native(void* data) { ::operator delete (data, std::align_val_t{kAlignment}); }

void free_on_device(void* context) {
  const std::unique_ptr<DeviceBlock> block(static_cast<DeviceBlock*>(context));
  block->allocator.deallocate(block->allocator.user, block->device, block->data, block->bytes,
                              nullptr);
}

[[noreturn]] void throw_no_memory(uint64_t bytes, Device device) {
  throw Error(ErrorCode::kOutOfMemory, "Tensor::empty: " + std::to_string(bytes) +
                                           " bytes are not to be had on " + to_string(device));
}

uint64_t view_bytes(const TensorView& view, const char* where) {
  int64_t bytes = size_bytes(view.dtype);
  bool overflow = false, none = false;
  for (int i = 0; i < view.rank; ++i) {
    none |= view.dim(i) == 0;
    overflow |= __builtin_mul_overflow(bytes, view.dim(i), &bytes);
  }
  if (none) return 0;
  if (overflow)
    throw Error(ErrorCode::kInvalidArgument,
                std::string(where) + ": shape has more bytes than 64 bits count, expected fewer");
  return static_cast<uint64_t>(bytes);
}

// Copies `view`, whose memory may be strided, to row-major native memory.
void gather(const TensorView& view, int dim, const std::byte* from, std::byte*& to) {
  const auto size = static_cast<size_t>(size_bytes(view.dtype));
  if (dim == view.rank) {
    std::memcpy(to, from, size);
    to += size;
    return;
  }
  for (int64_t i = 0; i < view.dim(dim); ++i)
    gather(view, dim + 1, from + i * view.step(dim) * static_cast<int64_t>(size), to);
}

bool is_row_major(const TensorView& view) {
  int64_t expected = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    if (view.dim(i) != 1 && view.step(i) != expected) return false;
    expected *= view.dim(i);
  }
  return true;
}

}  // namespace

Tensor::Tensor(Tensor&& other) noexcept
    : view_(std::exchange(other.view_, {})),
      context_(std::exchange(other.context_, nullptr)),
      deleter_(std::exchange(other.deleter_, nullptr)) {}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  if (this != &other) {
    this->~Tensor();
    new (this) Tensor(std::move(other));
  }
  return *this;
}

Tensor::~Tensor() {
  if (deleter_ != nullptr) deleter_(context_);
}

Tensor Tensor::adopt(const TensorView& view, void* context, void (*deleter)(void*)) {
  Tensor tensor;
  tensor.view_ = view;
  tensor.context_ = context;
  tensor.deleter_ = deleter;
  return tensor;
}

Tensor Tensor::empty(DType dtype, std::span<const int64_t> shape, Device device) {
  TensorView view = contiguous(nullptr, dtype, shape, device);
  const uint64_t bytes = view_bytes(view, "Tensor::empty");
  if (device.type == DeviceType::kNative) {
    view.data = ::operator new (bytes == 0 ? 1 : bytes, std::align_val_t{kAlignment}, std::nothrow);
    if (view.data == nullptr) throw_no_memory(bytes, device);
    return adopt(view, view.data, free_native);
  }
  const Allocator& allocator = Registry::global().backend(device.type).allocator;
  if (allocator.allocate == nullptr)
    throw Error(ErrorCode::kBackendUnavailable,
                "Tensor::empty: the " + std::string(name(device.type)) +
                    " backend has no device to allocate on; see Registry::backends()");
  auto block = std::make_unique<DeviceBlock>(DeviceBlock{allocator, device, nullptr, bytes});
  block->data = allocator.allocate(allocator.user, device, bytes, kAlignment, nullptr);
  if (block->data == nullptr && bytes > 0) throw_no_memory(bytes, device);
  view.data = block->data;
  return adopt(view, block.release(), free_on_device);
}

Tensor Tensor::to(Device device) const {
  const uint64_t bytes = view_bytes(view_, "Tensor::to");
  // A backend's copy knows its own memory and native memory.
  if (view_.device.type != device.type && view_.device.type != DeviceType::kNative &&
      device.type != DeviceType::kNative)
    return to(Device{}).to(device);
  Tensor result = empty(view_.dtype, {view_.shape.data(), static_cast<size_t>(view_.rank)}, device);
  if (bytes == 0) return result;
  if (view_.device.type == DeviceType::kNative && device.type == DeviceType::kNative) {
    auto* to = static_cast<std::byte*>(result.view_.data);
    gather(view_, 0, static_cast<const std::byte*>(view_.data), to);
    return result;
  }
  if (!is_row_major(view_)) {
    if (view_.device.type != DeviceType::kNative)
      throw Error(ErrorCode::kUnsupported, "Tensor::to: the tensor is strided on " +
                                               to_string(view_.device) +
                                               ", expected row-major; copy it there first");
    return to(Device{}).to(device);
  }
  const DeviceType side = device.type != DeviceType::kNative ? device.type : view_.device.type;
  const BackendTable& backend = Registry::global().backend(side);
  Status s = backend.copy(result.view_.data, device, view_.data, view_.device, bytes, nullptr);
  if (s) s = backend.synchronize(device.type == side ? device : view_.device, nullptr);
  if (!s) throw Error(s.code, "Tensor::to: " + to_string(s));
  return result;
}

}  // namespace attend
