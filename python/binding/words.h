#pragma once
#include <nanobind/nanobind.h>

#include <optional>
#include <string>

#include "array.h"
#include "attend/operator.h"

namespace attend::python {

// One call as Python wrote it: what words.cc reads from the keywords, and call.cc runs.
struct Call {
  explicit Call(const AttentionOp& which) : op(which), tensors(name(which.id())) {}

  const AttentionOp& op;
  BorrowedTensors tensors;
  AttentionArgs args;
  AttentionParams params;
  ExecContext context;
  std::optional<DeviceType> device;  // the forward_X door; unset = forward
  std::string kernel;                // not empty: this row and no other
  nb::object q;                      // the outputs are of its kind
  nb::object out;                    // the caller's array, or null
  bool return_lse = false, return_weights = false, return_scores = false, return_kernel = false;
  bool block_causal = false, window = false, window_side = false, check_indices = true;
  nb::object init_bias;
  std::optional<DType> out_dtype, weights_dtype;  // unset: like q; f32
};

// Reads q, k, v and the keywords into the call; None stands for a word that is not given.
//   errors   TypeError for an unknown keyword or a value of the wrong type; as BorrowedTensors
void read_words(Call& call, nb::handle q, nb::handle k, nb::handle v, const nb::dict& words);

// The keywords that exist, in the order of the table.
nb::list known_words();

// "native", "cuda", "rocm"; errors kInvalidArgument
DeviceType device_from_name(const std::string& where, nb::handle value);

}  // namespace attend::python
