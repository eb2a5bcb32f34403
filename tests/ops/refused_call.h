#pragma once
#include <cstdint>
#include <vector>

#include "attend/error.h"
#include "attend/operator.h"
#include "tests/support/worked.h"

namespace attend::testing {

// A legal call that tests spoil in one place: batch 2, seqlen_q 3 (decode: 1), seqlen_k 5, heads 4,
// kv_heads 2, head_dim 8, v_dim 6, f32, or the same rows ragged. paged has the keys in 8 pages of 2,
// those of request 0 in pages 0 to 2, those of request 1 in 3 to 5. Outputs hold 42.
struct RefusedCall {
  explicit RefusedCall(OpId op, bool ragged = false);

  // An index tensor that lives as long as the call.
  TensorView indices(const std::vector<double>& values, DType dtype = DType::kI32);
  TensorView table(const std::vector<double>& pages, DType dtype = DType::kI32);  // [2, n / 2]
  TensorView values(DType dtype, std::initializer_list<int64_t> shape);           // zeros
  // Makes a call of paged bring its own rows behind two cached keys a request, each stored.
  void bring_rows();
  // Gives it its page table in the CSR form.
  void use_csr();
  // Nothing was written, the cache included.
  bool outputs_untouched() const;

  Values q, k, v, out, lse, weights, scores;
  std::vector<Values> more;
  AttentionArgs args;
  AttentionParams params;
  ExecContext context;
};

}  // namespace attend::testing
