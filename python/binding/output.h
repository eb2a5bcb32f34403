#pragma once
#include "words.h"

namespace attend::python {

// The arrays that a call writes, of the kind of q: NumPy for NumPy, PyTorch for PyTorch, else
// attend.Tensor. Rows that a ragged call may leave alone are filled first: 0 in out and weights,
// -inf in lse and scores.
class Outputs {
 public:
  // Makes what the caller did not bring and has asked for.
  explicit Outputs(Call& call);

  nb::object out, lse, weights, scores;  // null where not asked for
};

// A call that is asked about and never run: its outputs are addresses without memory.
class PlaceholderOutputs {
 public:
  explicit PlaceholderOutputs(Call& call);
  ~PlaceholderOutputs();
  PlaceholderOutputs(const PlaceholderOutputs&) = delete;
  PlaceholderOutputs& operator=(const PlaceholderOutputs&) = delete;

 private:
  void* base_ = nullptr;
  size_t bytes_ = 0;
};

void bind_tensor(nb::module_& m);  // attend.Tensor

}  // namespace attend::python
