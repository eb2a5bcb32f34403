#include "attend/strategy_metadata.h"

#include <cmath>

#include "metadata/check.h"

namespace attend {

using namespace metadata;

void BlockDiffusionMetadata::validate() const {
  AttnMetadata::validate();
  if (block_size < 1)
    refuse("block_size is " + std::to_string(block_size) + ", expected 1 or more");
  if (buffer_blocks < 1)
    refuse("buffer_blocks is " + std::to_string(buffer_blocks) + ", expected 1 or more");
  check_per_request("block_origin", block_origin, cu_seqlens_q);
  check_per_request("valid_q_lens", valid_q_lens, cu_seqlens_q);
  check_per_request("prefix_lens", prefix_lens, cu_seqlens_q);
}

void BlockDiffusionMetadata::apply_to(SeqLayout& layout, MaskSpec& mask) const {
  AttnMetadata::apply_to(layout, mask);
  layout.seqused_q = valid_q_lens;
  mask.causal = false;
  mask.block_size = block_size;
  mask.block_origin = block_origin;
  mask.prefix_lens = prefix_lens;
}

void DmaxMetadata::validate() const {
  BlockDiffusionMetadata::validate();
  if (!merge_mask) return;
  check_dtype("merge_mask", merge_mask, DType::kBool, 1);
  check_index("merge_topk_ids", merge_topk_ids, 2);
  check_dtype("merge_topk_probs", merge_topk_probs, DType::kF32, 2);
  check_dtype("merge_residual_probs", merge_residual_probs, DType::kF32, 1);
  if (!merge_topk_ids || !merge_topk_probs || !merge_residual_probs)
    refuse(
        "merge_mask is given, expected merge_topk_ids, merge_topk_probs and merge_residual_probs "
        "beside it");
  const std::string why = " (rows of merge_mask)";
  check_count("merge_topk_ids", merge_topk_ids, merge_mask.dim(0), why);
  check_count("merge_topk_probs", merge_topk_probs, merge_mask.dim(0), why);
  check_count("merge_residual_probs", merge_residual_probs, merge_mask.dim(0), why);
  if (merge_topk_ids.dim(1) != merge_topk_probs.dim(1))
    refuse("merge_topk_probs dim 1 is " + std::to_string(merge_topk_probs.dim(1)) + ", expected " +
           std::to_string(merge_topk_ids.dim(1)) + " (merge_topk_ids)");
  if (merge_mask_token_id < 0)
    refuse("merge_mask_token_id is " + std::to_string(merge_mask_token_id) +
           ", expected a token's id");
  if (!(merge_weight >= 0) || std::isinf(merge_weight))
    refuse("merge_weight is " + std::to_string(merge_weight) + ", expected 0 or more");
}

void DiffusionGemmaMetadata::validate() const {
  BlockDiffusionMetadata::validate();
  check_per_request("hole_starts", hole_starts, cu_seqlens_q);
  check_per_request("hole_ends", hole_ends, cu_seqlens_q);
  if (static_cast<bool>(hole_starts) != static_cast<bool>(hole_ends))
    refuse(std::string(hole_starts ? "hole_ends" : "hole_starts") + " is absent, expected both");
}

void DiffusionGemmaMetadata::apply_to(SeqLayout& layout, MaskSpec& mask) const {
  BlockDiffusionMetadata::apply_to(layout, mask);
  mask.hole_starts = hole_starts;
  mask.hole_ends = hole_ends;
  if (!prefix_causal) return;
  mask.causal = true;
  mask.block_size = 0;
  mask.block_origin = {};
}

}  // namespace attend
