#pragma once
#include <cstdint>
#include <vector>

#include "attend/error.h"
#include "attend/operator.h"
#include "tests/support/worked.h"

namespace attend::testing {

// A legal call that tests spoil in one place: batch 2, seqlen_q 3, seqlen_k 5, heads 4, kv_heads 2,
// head_dim 8, v_dim 6, f32, or the same rows ragged. Outputs hold 42.
struct RefusedCall {
  explicit RefusedCall(bool ragged = false);

  // An index tensor that lives as long as the call.
  TensorView indices(const std::vector<double>& values, DType dtype = DType::kI32);
  TensorView values(DType dtype, std::initializer_list<int64_t> shape);  // zeros
  bool outputs_untouched() const;

  Values q, k, v, out, lse, weights, scores;
  std::vector<Values> more;
  AttentionArgs args;
  AttentionParams params;
  ExecContext context;
};

}  // namespace attend::testing
