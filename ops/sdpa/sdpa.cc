#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void SdpaAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("sdpa", a, p, {});
  check_shapes("sdpa", a, p);
}

}  // namespace attend
