#pragma once
#include <cstdint>

#include "attend/attention_params.h"
#include "tests/support/element.h"

// Where keys are, in the contract's words (sections 1 and 5): beside q's rows, in a cache, behind a
// page table, or in the call's own rows.
namespace attend::testing {

int64_t rows_in_use(const AttentionArgs& args, int64_t b);  // of q
int64_t keys_in_use(const AttentionArgs& args, int64_t b);

// A stored element and what it stands for.
struct StoredElement {
  DType dtype;
  const void* address;
  double descale;
  double value() const { return load(dtype, address) * descale; }
};
// Element e of kv head h of key j, in k and in v.
StoredElement key_element(const AttentionArgs& args, int64_t b, int64_t j, int64_t h, int64_t e);
StoredElement value_element(const AttentionArgs& args, int64_t b, int64_t j, int64_t h, int64_t e);

// What a stored value of kv head h is multiplied by; 1 without a descale.
double descale_of(const TensorView& descale, int64_t b, int64_t h);

// Address of element [b, s, h, e] of a dense tensor, or of a ragged one whose sequences start at
// cu_seqlens[b].
void* row_address(const TensorView& t, const TensorView& cu_seqlens, int64_t b, int64_t s,
                  int64_t h, int64_t e);

}  // namespace attend::testing
