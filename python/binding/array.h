#pragma once
#include <nanobind/nanobind.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "attend/tensor.h"

namespace attend::python {

namespace nb = nanobind;

// The tensors of one call, seen where they lie; nothing is copied, and all stay alive as long as
// this does.
//   NumPy arrays     by address and strides, so that read-only, zero-stride and negative-stride
//                    arrays and the element types of ml_dtypes work, none of which NumPy exports
//                    over DLPack
//   __dlpack__       everything else that has it: PyTorch, CuPy, JAX
//   buffers          memoryview, array.array and the like
//   errors           kInvalidArgument naming argument, property, got and expected; TypeError for
//                    what is no tensor
class BorrowedTensors {
 public:
  explicit BorrowedTensors(std::string where) : where_(std::move(where)) {}

  // The stream on which producers make their tensors ready: what the kernel will run on.
  void set_stream(void* stream) { stream_ = stream; }
  // Where what Python says in lists and numbers goes: the device of the call's tensors.
  void set_device(Device device) { device_ = device; }

  TensorView input(const char* arg, nb::handle object);
  // Like input, and a list, tuple or range of int becomes an i64 vector, one of lists a matrix.
  TensorView index(const char* arg, nb::handle object);
  // Refuses what is read-only, and a producer's copy, in which what is written would be lost.
  TensorView output(const char* arg, nb::handle object);
  // A KV cache, which the call may also write; `bytes` says what the elements of an unsigned 8-bit
  // tensor are, as NumPy alone has no 8-bit floats.
  TensorView cache(const char* arg, nb::handle object, bool writes, std::optional<DType> bytes);
  // A number becomes an f32 tensor of rank 0.
  TensorView scalar_or_tensor(const char* arg, nb::handle object);

  const std::string& where() const { return where_; }

 private:
  // How one tensor is taken.
  struct Use {
    bool writes = false;
    bool is_cache = false;
    std::optional<DType> bytes;
  };
  TensorView take(const char* arg, nb::handle object, const Use& use);
  TensorView take_numpy(const char* arg, nb::handle array, const Use& use);
  TensorView take_dlpack(const char* arg, nb::handle object, Use use);
  TensorView said(const TensorView& values);
  void read_int(const char* arg, nb::handle item, std::vector<int64_t>& values);
  void refuse_pytorch_views(const char* arg, nb::handle tensor) const;
  [[noreturn]] void refuse(const char* arg, const std::string& what) const;

  std::string where_;
  void* stream_ = nullptr;
  Device device_;
  std::vector<nb::object> kept_;
  std::deque<std::vector<int64_t>> lists_;
  std::deque<float> numbers_;
  std::deque<Tensor> sent_;  // lists and numbers on a device
};

// Whether object is an instance of a class of a module that the program has imported; imports
// nothing.
bool is_instance_of(nb::handle object, const char* module, const char* type);

}  // namespace attend::python
