#include "attend/tensor.h"

#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "attend/error.h"
#include "attend/registry.h"
#include "ops/registry_state.h"

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

[[noreturn]] void throw_no_memory(const char* where, uint64_t bytes, const std::string& place) {
  throw Error(ErrorCode::kOutOfMemory, std::string(where) + ": " + std::to_string(bytes) +
                                           " bytes are not to be had " + place);
}

// Memory of one of a backend's allocators, as the tensor that `view` describes.
Tensor allocated(const char* where, const Allocator& allocator, Device device, TensorView view,
                 uint64_t bytes, const std::string& place) {
  if (allocator.allocate == nullptr)
    throw Error(ErrorCode::kBackendUnavailable, std::string(where) + ": the " + name(device.type) +
                                                    " backend allocates no memory " + place);
  auto block = std::make_unique<DeviceBlock>(DeviceBlock{allocator, device, nullptr, bytes});
  block->data = allocator.allocate(allocator.user, device, bytes, kAlignment, nullptr);
  if (block->data == nullptr && bytes > 0) throw_no_memory(where, bytes, place);
  view.data = block->data;
  return Tensor::adopt(view, block.release(), free_on_device);
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
  if (view.num_elements() == 0) return true;
  int64_t expected = 1;
  for (int i = view.rank - 1; i >= 0; --i) {
    if (view.dim(i) != 1 && view.step(i) != expected) return false;
    expected *= view.dim(i);
  }
  return true;
}

// Between native memory and a device's, or two devices of one vendor; done when it returns.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, uint64_t bytes) {
  const Device side = to_device.type != DeviceType::kNative ? to_device : from_device;
  const BackendTable& backend = Registry::global().backend(side.type);
  Status s;
  // The copy follows what was enqueued on its own device alone.
  if (from_device != side && from_device.type == side.type)
    s = backend.synchronize(from_device, nullptr);
  if (s) s = backend.copy(to, to_device, from, from_device, bytes, nullptr);
  if (s) s = backend.synchronize(side, nullptr);
  if (!s) throw Error(s.code, "Tensor::to: " + to_string(s));
}

// A strided tensor of a device, row-major on native: what lies between its elements travels too.
Tensor gathered(const TensorView& view) {
  Tensor result = Tensor::empty(view.dtype, {view.shape.data(), static_cast<size_t>(view.rank)});
  if (view.num_elements() == 0) return result;
  const int64_t size = size_bytes(view.dtype);
  int64_t low = 0, high = 0;
  for (int i = 0; i < view.rank; ++i)
    (view.step(i) < 0 ? low : high) += (view.dim(i) - 1) * view.step(i);
  const Tensor span = Tensor::empty(DType::kI8, {(high - low + 1) * size});
  copy_bytes(span.view().data, {}, static_cast<const std::byte*>(view.data) + low * size,
             view.device, static_cast<uint64_t>(span.view().dim(0)));
  auto* to = result.data<std::byte>();
  gather(view, 0, span.data<std::byte>() - low * size, to);
  return result;
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
    if (view.data == nullptr) throw_no_memory("Tensor::empty", bytes, "on " + to_string(device));
    return adopt(view, view.data, free_native);
  }
  return allocated("Tensor::empty", backend_with(device, "Tensor::empty").allocator, device, view,
                   bytes, "on " + to_string(device));
}

Tensor Tensor::empty_pinned(DType dtype, std::span<const int64_t> shape, Device device) {
  if (device.type == DeviceType::kNative) return empty(dtype, shape);
  const TensorView view = contiguous(nullptr, dtype, shape);
  const uint64_t bytes = view_bytes(view, "Tensor::empty_pinned");
  return allocated("Tensor::empty_pinned", backend_with(device, "Tensor::empty_pinned").pinned,
                   device, view, bytes, "pinned for " + to_string(device));
}

Tensor Tensor::to(Device device) const {
  const uint64_t bytes = view_bytes(view_, "Tensor::to");
  const bool from_native = view_.device.type == DeviceType::kNative;
  const bool to_native = device.type == DeviceType::kNative;
  // A backend's copy knows its own memory and native memory, and elements in their order.
  const bool direct = from_native || to_native || view_.device.type == device.type;
  if (!direct || (!to_native && !is_row_major(view_))) return to(Device{}).to(device);
  if (!is_row_major(view_) && !from_native) return gathered(view_);
  Tensor result = empty(view_.dtype, {view_.shape.data(), static_cast<size_t>(view_.rank)}, device);
  if (bytes == 0) return result;
  if (from_native && to_native) {
    auto* to = static_cast<std::byte*>(result.view_.data);
    gather(view_, 0, static_cast<const std::byte*>(view_.data), to);
    return result;
  }
  copy_bytes(result.view_.data, device, view_.data, view_.device, bytes);
  return result;
}

}  // namespace attend
