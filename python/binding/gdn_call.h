#pragma once
#include <optional>
#include <vector>

#include "attend/operator.h"
#include "output.h"
#include "value.h"

namespace attend::python {

// A call of gdn, as Python wrote it.
struct GdnCall : Request {
  GdnCall() : Request(OpId::kGdn) {}

  void read(const nb::dict& said);
  std::vector<Wanted> wanted();
  // GdnResult(out, final_state)
  nb::object result(const RunResult& ran) const;

  const TensorView& leader() const { return args.mixed_qkv ? args.mixed_qkv : args.q; }
  static std::span<const Word<GdnCall>> words();

  const GatedDeltaNet op;
  GdnArgs args;
  GdnParams params;
  nb::object out, final_state;  // what the caller brought or is given
  bool in_place = false;        // the state given is the one written
  std::optional<DType> out_dtype;
};

}  // namespace attend::python
