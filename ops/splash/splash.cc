#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void SplashAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("splash", a, p, {});
  check_shapes("splash", a, p);
}

AttentionOp::Fallback SplashAttention::falls_back(const AttentionArgs&,
                                                  const AttentionParams&) const {
  return {OpId::kSplash, ""};
}

}  // namespace attend
