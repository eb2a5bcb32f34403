#include "attend/error.h"
#include "attend/metadata.h"
#include "metadata/check.h"

namespace attend {

void AttnMetadata::validate() const {
  using namespace metadata;
  check_index("cu_seqlens_q", cu_seqlens_q, 1);
  check_index("cu_seqlens_k", cu_seqlens_k, 1);
  check_index("context_lens", context_lens, 1);
  check_index("slot_mapping", slot_mapping, 1);
  check_index("block_table", block_table, 2);
  check_index("state_slots", state_slots, 1);
  if (max_seqlen_q < 0)
    refuse("max_seqlen_q is " + std::to_string(max_seqlen_q) + ", expected 0 or more");
  if (max_seqlen_k < 0)
    refuse("max_seqlen_k is " + std::to_string(max_seqlen_k) + ", expected 0 or more");
  if (block_table && page_size < 1)
    refuse("page_size is " + std::to_string(page_size) + ", expected 1 or more with block_table");
  if (!cu_seqlens_q) return;
  if (cu_seqlens_q.dim(0) < 1) refuse("cu_seqlens_q dim 0 is 0, expected num_reqs + 1");
  const int64_t num_reqs = num_requests(cu_seqlens_q);
  const std::string why = " (cu_seqlens_q tells " + std::to_string(num_reqs) + " requests)";
  check_count("cu_seqlens_k", cu_seqlens_k, num_reqs + 1, why);
  check_count("context_lens", context_lens, num_reqs, why);
  check_count("block_table", block_table, num_reqs, why);
  check_count("state_slots", state_slots, num_reqs, why);
}

void AttnMetadata::apply_to(SeqLayout& layout, MaskSpec& mask) const {
  layout.cu_seqlens_q = cu_seqlens_q;
  layout.cu_seqlens_k = cu_seqlens_k;
  layout.context_lens = context_lens;
  layout.slot_mapping = slot_mapping;
  layout.block_table = block_table;
  layout.max_seqlen_q = max_seqlen_q;
  layout.max_seqlen_k = max_seqlen_k;
  mask.causal = true;
}

}  // namespace attend
