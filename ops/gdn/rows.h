#pragma once
#include "ops/common/layout.h"
#include "ops/gdn/shape.h"

// Where a sequence's rows are in the tensors of a gdn call.
namespace attend {

// Rows of [.., inner] or [.., heads, inner]: element (token i, index h) at at(i, h); h counts the
// dimension behind the tokens, `dim` steps along the last.
ATTEND_HD RowsView token_rows(const TensorView& t, const GdnShape& shape, const GdnSequence& s) {
  const int token = shape.ragged ? 0 : 1;
  const int64_t first = shape.ragged ? s.first * t.stride[0] : s.b * t.stride[0];
  return {element(t, first), t.step(token), t.step(token + 1), t.step(-1), t.dtype};
}

// Row h of one slot of a state: [slots, heads, v_dim, k_dim].
ATTEND_HD float* state_head(const TensorView& t, int64_t slot, int64_t head) {
  return static_cast<float*>(t.data) + slot * t.stride[0] + head * t.stride[1];
}

}  // namespace attend
