#pragma once
#include <array>
#include <optional>
#include <vector>

#include "attend/operator.h"
#include "output.h"
#include "value.h"

namespace attend::python {

// A call of an operator that takes AttentionArgs, as Python wrote it.
struct AttentionCall : Request {
  explicit AttentionCall(const AttentionOp& which) : Request(which.id()), op(which) {}

  // Reads tensors and keywords.
  //   errors   TypeError for a missing tensor; as read_into
  void read(const nb::dict& said);
  // What it writes and the caller did not bring. A shape that cannot be known here is left to the
  // operator, which then says what is wrong with q, k or v.
  std::vector<Wanted> wanted();
  // out alone, or a Result where more is asked for.
  nb::object result(const RunResult& ran) const;

  // Lets the other ranks of a ring go.
  void refused(const char* why) const;

  const TensorView& leader() const { return args.q ? args.q : args.k; }
  static std::span<const Word<AttentionCall>> words();

  const AttentionOp& op;
  AttentionArgs args;
  AttentionParams params;
  nb::object out, lse, weights, scores;  // what the caller brought or is given
  nb::object init_bias;
  bool return_lse = false, return_weights = false, return_scores = false;
  bool block_causal = false, window = false, window_side = false;
  bool writes_cache = false;                        // k and v are stored to
  std::array<std::optional<DType>, 2> cache_bytes;  // what k and v of unsigned bytes are
  std::optional<DType> out_dtype, weights_dtype;    // unset: like q; f32
};

}  // namespace attend::python
