#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

// The frameworks' words where the contract leaves a choice, top left and a mask beside a bias, are
// already resolved (attention_op.cc). Nothing else is narrowed here: what the vendor's kernel does
// not take is for flash's tiles.
void SdpaAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("sdpa", a, p, {});
  check_shapes("sdpa", a, p);
  check_dims("sdpa", a, false);
  refuse_materialised("sdpa", a, p);
}

}  // namespace attend
