#include <string>

#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void VanillaAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("vanilla", a, p, {});
  check_shapes("vanilla", a, p);
  if (a.q.dim(-1) > 256 || a.v.dim(-1) > 256)
    throw_unsupported("vanilla", "head_dim is " + std::to_string(a.q.dim(-1)) + " and v_dim " +
                                     std::to_string(a.v.dim(-1)) +
                                     ", expected at most 256; flash takes 512 and 576/512");
}

}  // namespace attend
