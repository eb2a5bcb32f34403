#pragma once
#include <nanobind/nanobind.h>

#include <optional>
#include <vector>

#include "value.h"

namespace attend::python {

// One array to be written: its place in the call, and what it is filled with first if a kernel may
// leave rows of it alone.
struct Wanted {
  const char* arg;
  TensorView* view;
  nb::object* object;
  std::vector<int64_t> shape;
  DType dtype = DType::kF32;
  std::optional<float> fill;
};

// Makes the arrays of the kind of call.like: NumPy for NumPy, PyTorch for PyTorch, else
// attend.Tensor, on `device`.
void make_outputs(Request& call, Device device, const std::vector<Wanted>& wanted);
// The arrays made, as the caller's library has them.
void finish_outputs(const Request& call, const std::vector<Wanted>& made);

// A call that is asked about and never run: its outputs are addresses without memory.
class PlaceholderOutputs {
 public:
  PlaceholderOutputs(const Request& call, Device device, const std::vector<Wanted>& wanted);
  ~PlaceholderOutputs();
  PlaceholderOutputs(const PlaceholderOutputs&) = delete;
  PlaceholderOutputs& operator=(const PlaceholderOutputs&) = delete;

 private:
  void* base_ = nullptr;
  size_t bytes_ = 0;
};

void bind_tensor(nb::module_& m);  // attend.Tensor

}  // namespace attend::python
