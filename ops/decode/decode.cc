#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void DecodeAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("decode", a, p, {});
  check_shapes("decode", a, p);
}

}  // namespace attend
