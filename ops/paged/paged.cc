#include "attend/operator.h"
#include "ops/checks.h"

namespace attend {

void PagedAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("paged", a, p,
                         {"k_new", "v_new", "k_descale", "v_descale", "block_table", "kv_indptr",
                          "kv_indices", "kv_last_page_len", "context_lens", "slot_mapping"});
  check_shapes("paged", a, p, KeyForm::kPages);
  check_dims("paged", a, true);
  refuse_materialised("paged", a, p);
  refuse_top_left("paged", p);
}

}  // namespace attend
