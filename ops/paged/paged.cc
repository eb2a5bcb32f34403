#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void PagedAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("paged", a, p, {});
  check_shapes("paged", a, p);
}

}  // namespace attend
