#include "backends/gpu/host/bounds.h"

#include <algorithm>

#include "ops/common/pages.h"

namespace attend::gpu {

Bounds::Bounds(const AttentionArgs& a) {
  const SeqLayout& s = a.seq;
  rows = s.cu_seqlens_q ? a.q.dim(0) : a.q.dim(1);
  if (s.max_seqlen_q > 0) rows = std::min(rows, s.max_seqlen_q);
  if (is_paged(a)) {
    const int64_t pages = s.block_table ? s.block_table.dim(1) : s.kv_indices.dim(0);
    keys = pages * a.k.dim(1) + (a.k_new ? rows : 0);
  } else {
    keys = s.cu_seqlens_k ? a.k.dim(0) : a.k.dim(1);
  }
  if (s.max_seqlen_k > 0) keys = std::min(keys, s.max_seqlen_k);
}

}  // namespace attend::gpu
