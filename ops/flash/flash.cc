#include <string>

#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void FlashAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("flash", a, p, {});
  check_shapes("flash", a, p);
  const int64_t head_dim = a.q.dim(-1), v_dim = a.v.dim(-1);
  const bool mla = head_dim == 576 && v_dim == 512;
  if (!mla && (head_dim > 512 || v_dim > 512))
    throw_unsupported("flash", "head_dim is " + std::to_string(head_dim) + " and v_dim " +
                                   std::to_string(v_dim) +
                                   ", expected at most 512, or 576 with 512");
  if (a.weights || a.scores)
    throw_unsupported(
        "flash",
        std::string(a.weights ? "weights" : "scores") +
            " are asked for, expected none, as flash never materialises them; use vanilla");
  if (p.dropout_p > 0.0f)
    throw_unsupported(
        "flash", "dropout_p is set and deterministic is off, expected no dropout; use vanilla");
}

}  // namespace attend
