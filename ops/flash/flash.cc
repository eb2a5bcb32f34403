#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void FlashAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("flash", a, p, {});
  check_shapes("flash", a, p);
  check_dims("flash", a, true);
  refuse_materialised("flash", a, p);
}

}  // namespace attend
