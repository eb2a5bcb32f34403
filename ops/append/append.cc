#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void AppendKv::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("append", a, p, {});
  check_shapes("append", a, p);
}

}  // namespace attend
