#include <string>

#include "ops/checks.h"

namespace attend {

void check_dims(const char* where, const AttentionArgs& a, bool wide) {
  const int64_t head_dim = a.q.dim(-1), v_dim = a.v.dim(-1);
  const int64_t most = wide ? 512 : 256;
  if (head_dim <= most && v_dim <= most) return;
  if (wide && head_dim == 576 && v_dim == 512) return;
  throw_unsupported(where, "head_dim is " + std::to_string(head_dim) + " and v_dim " +
                               std::to_string(v_dim) + ", expected at most " +
                               (wide ? "512, or 576 with 512"
                                     : "256; flash, paged and decode take 512 and 576/512"));
}

void refuse_materialised(const char* where, const AttentionArgs& a, const AttentionParams& p) {
  if (a.weights || a.scores)
    throw_unsupported(where, std::string(a.weights ? "weights" : "scores") +
                                 " are asked for, expected none, as " + where +
                                 " never materialises them; use vanilla");
  if (p.dropout_p > 0.0f)
    throw_unsupported(
        where,
        "dropout_p is set and deterministic is off, expected no dropout; use vanilla or ring");
}

void refuse_top_left(const char* where, const AttentionParams& p) {
  if (p.mask.diagonal == Diagonal::kTopLeft && !p.mask.q_start)
    throw_unsupported(where,
                      "diagonal is top_left, expected bottom_right, where the newest row stands at "
                      "the newest key; give q_start for another position");
}

}  // namespace attend
