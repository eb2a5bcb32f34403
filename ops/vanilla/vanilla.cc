#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void VanillaAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("vanilla", a, p, {});
  check_shapes("vanilla", a, p);
  check_dims("vanilla", a, false);
}

}  // namespace attend
