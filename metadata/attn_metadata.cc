#include <string>

#include "attend/error.h"
#include "attend/metadata.h"

namespace attend {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "metadata: " + what);
}

void check_vector(const char* field, const TensorView& t, int rank) {
  if (!t) return;
  if (t.rank != rank)
    refuse(std::string(field) + " rank is " + std::to_string(t.rank) + ", expected " +
           std::to_string(rank));
  if (t.dtype != DType::kI32 && t.dtype != DType::kI64)
    refuse(std::string(field) + " dtype is " + name(t.dtype) + ", expected i32 or i64");
}

}  // namespace

void AttnMetadata::validate() const {
  check_vector("cu_seqlens_q", cu_seqlens_q, 1);
  check_vector("cu_seqlens_k", cu_seqlens_k, 1);
  check_vector("context_lens", context_lens, 1);
  check_vector("slot_mapping", slot_mapping, 1);
  check_vector("block_table", block_table, 2);
  if (max_seqlen_q < 0)
    refuse("max_seqlen_q is " + std::to_string(max_seqlen_q) + ", expected 0 or more");
  if (max_seqlen_k < 0)
    refuse("max_seqlen_k is " + std::to_string(max_seqlen_k) + ", expected 0 or more");
  if (block_table && page_size < 1)
    refuse("page_size is " + std::to_string(page_size) + ", expected 1 or more with block_table");
  if (!cu_seqlens_q) return;
  if (cu_seqlens_q.dim(0) < 1) refuse("cu_seqlens_q dim 0 is 0, expected num_reqs + 1");
  const int64_t num_reqs = cu_seqlens_q.dim(0) - 1;
  const auto per_request = [&](const char* field, const TensorView& t, int64_t want) {
    if (t && t.dim(0) != want)
      refuse(std::string(field) + " dim 0 is " + std::to_string(t.dim(0)) + ", expected " +
             std::to_string(want) + " (cu_seqlens_q tells " + std::to_string(num_reqs) +
             " requests)");
  };
  per_request("cu_seqlens_k", cu_seqlens_k, num_reqs + 1);
  per_request("context_lens", context_lens, num_reqs);
  per_request("block_table", block_table, num_reqs);
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
