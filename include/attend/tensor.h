#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "attend/export.h"

namespace attend {

// Element types. Part of the plugin ABI: append, never renumber.
enum class DType : uint8_t { kF32, kF16, kBF16, kF8E4M3, kF8E5M2, kI8, kI32, kI64, kBool };

// Numbered as DLPack numbers them (kDLCPU, kDLCUDA, kDLROCM), so that import is a cast.
enum class DeviceType : uint8_t { kNative = 1, kCuda = 2, kRocm = 10 };

struct Device {
  DeviceType type = DeviceType::kNative;
  int16_t index = 0;
  friend bool operator==(Device, Device) = default;
};

ATTEND_API const char* name(DType dtype) noexcept;      // "f32", "bf16", "f8_e4m3", ...
ATTEND_API const char* name(DeviceType type) noexcept;  // "native", "cuda", "rocm"
ATTEND_API std::string to_string(Device device);        // "cuda:1"

// Of one element; 0 for a value that DType does not name.
constexpr int64_t size_bytes(DType dtype) noexcept {
  switch (dtype) {
    case DType::kI64: return 8;
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kF16:
    case DType::kBF16: return 2;
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kI8:
    case DType::kBool: return 1;
  }
  return 0;
}

inline constexpr int kMaxRank = 5;

// A non-owning strided view.
//   stride   in elements, any: 0 broadcasts, negative walks backwards, the last need not be 1
//   data     address of element [0, ..., 0]; needs only an element's alignment
// A view is "given" when it has a shape or an address: a tensor without elements may have neither
// data nor memory and is still an argument, so data alone would not tell.
struct TensorView {
  void* data = nullptr;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> stride{};
  int32_t rank = 0;
  DType dtype = DType::kF32;
  Device device{};

  // constexpr, so that device code may call them, too.
  explicit constexpr operator bool() const noexcept { return rank > 0 || data != nullptr; }
  constexpr int64_t dim(int i) const noexcept {
    return shape[static_cast<size_t>(i < 0 ? rank + i : i)];
  }
  constexpr int64_t step(int i) const noexcept {
    return stride[static_cast<size_t>(i < 0 ? rank + i : i)];
  }
  constexpr int64_t num_elements() const noexcept {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[static_cast<size_t>(i)];
    return n;
  }
};

// Row-major view over contiguous memory.
//   errors   kInvalidArgument if there are more than kMaxRank dimensions or one is negative
ATTEND_API TensorView contiguous(void* data, DType dtype, std::span<const int64_t> shape,
                                 Device device = {});
inline TensorView contiguous(void* data, DType dtype, std::initializer_list<int64_t> shape,
                             Device device = {}) {
  return contiguous(data, dtype, std::span<const int64_t>(shape.begin(), shape.size()), device);
}

// The same memory with two dimensions exchanged: [batch, heads, seqlen, dim] as seqlen-first.
ATTEND_API TensorView transposed(const TensorView& view, int a, int b);

// "f32[2, 17, 4, 64] on native:0".
ATTEND_API std::string to_string(const TensorView& view);

// Owns its memory, from the device's allocator (64-byte aligned on native). Moves, never copies.
class ATTEND_API Tensor {
 public:
  Tensor() = default;
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor();

  // Uninitialised row-major memory.
  //   errors   kInvalidArgument (shape), kOutOfMemory, kBackendUnavailable (no such plugin or
  //            device, with the reason)
  static Tensor empty(DType dtype, std::span<const int64_t> shape, Device device = {});
  static Tensor empty(DType dtype, std::initializer_list<int64_t> shape, Device device = {}) {
    return empty(dtype, std::span<const int64_t>(shape.begin(), shape.size()), device);
  }
  // Uninitialised row-major native memory that is page-locked for this device (native: as empty), so
  // that copies between the two go at full speed, need no staging and may be captured into a graph.
  //   errors   as empty
  static Tensor empty_pinned(DType dtype, std::span<const int64_t> shape, Device device);
  static Tensor empty_pinned(DType dtype, std::initializer_list<int64_t> shape, Device device) {
    return empty_pinned(dtype, std::span<const int64_t>(shape.begin(), shape.size()), device);
  }
  // Takes over foreign memory; deleter(context) runs once, when the tensor goes.
  static Tensor adopt(const TensorView& view, void* context, void (*deleter)(void* context));

  // A copy of this tensor's elements on another device, row-major, done when it returns. It follows
  // the work on the default stream; work on other streams must have been waited for.
  //   errors   as empty; kDeviceError
  Tensor to(Device device) const;

  const TensorView& view() const noexcept { return view_; }
  operator const TensorView&() const noexcept { return view_; }
  template <class T>
  T* data() const noexcept {
    return static_cast<T*>(view_.data);
  }

 private:
  TensorView view_;
  void* context_ = nullptr;
  void (*deleter_)(void*) = nullptr;
};

}  // namespace attend
