#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void RingAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("ring", a, p, {});
  check_shapes("ring", a, p);
}

}  // namespace attend
