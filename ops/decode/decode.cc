#include <string>

#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void DecodeAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("decode", a, p, {"k_descale", "v_descale", "start", "end"});
  if (a.seq.cu_seqlens_q || a.seq.cu_seqlens_k)
    throw_unsupported("decode",
                      std::string(a.seq.cu_seqlens_q ? "cu_seqlens_q" : "cu_seqlens_k") +
                          " is given, expected one query row a sequence in [batch, 1, heads, "
                          "head_dim]; use flash or paged");
  check_shapes("decode", a, p, KeyForm::kCache);
  if (a.q.dim(1) != 1)
    throw_invalid("decode", "q dim 1 is " + std::to_string(a.q.dim(1)) +
                                ", expected 1 query row; use flash or paged for more");
  if (a.seq.end && a.seq.seqused_k)
    throw_invalid("decode",
                  "end and seqused_k are both given, expected one end of the keys in use");
  check_dims("decode", a, true);
  refuse_materialised("decode", a, p);
  refuse_top_left("decode", p);
}

}  // namespace attend
