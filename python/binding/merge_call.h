#pragma once
#include <optional>
#include <vector>

#include "attend/operator.h"
#include "output.h"
#include "value.h"

namespace attend::python {

// A call of merge, as Python wrote it.
struct MergeCall : Request {
  MergeCall() : Request(OpId::kMerge) {}

  void read(const nb::dict& said);
  std::vector<Wanted> wanted();
  // MergeResult(out, lse)
  nb::object result(const RunResult& ran) const;

  const TensorView& leader() const { return args.out_a; }
  static std::span<const Word<MergeCall>> words();

  const MergePartials op;
  MergeArgs args;
  MergeParams params;
  nb::object out, lse;  // what the caller brought or is given
  std::optional<DType> out_dtype;
};

}  // namespace attend::python
