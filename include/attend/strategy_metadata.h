#pragma once
#include "attend/metadata.h"

// What the block-diffusion strategies tell an attention layer beyond AttnMetadata. Kernels see mask
// words alone (MaskSpec); each type's apply_to says which.
namespace attend {

// Common to all of them: a request's rows are whole blocks, bidirectional within and causal between.
struct ATTEND_API BlockDiffusionMetadata : AttnMetadata {
  int32_t block_size = 32;    // tokens of a block
  int32_t buffer_blocks = 4;  // blocks that a request keeps open
  TensorView block_origin;    // i32 [num_reqs]: position where blocks begin; absent = 0
  TensorView valid_q_lens;    // i32 [num_reqs]: rows of a request that count; absent = all
  TensorView prefix_lens;     // i32 [num_reqs]: rows before it see the whole prefix; absent = none

  void validate() const override;
  void apply_to(SeqLayout& layout, MaskSpec& mask) const override;
};

// D2F: the prompt sees all of itself (prefix_lens).
struct ATTEND_API D2fMetadata : BlockDiffusionMetadata {
  std::string_view strategy() const noexcept override { return "d2f"; }
};

// Multi-block diffusion: the prompt is causal by blocks, so that its pages can be shared.
struct ATTEND_API MultiBdMetadata : BlockDiffusionMetadata {
  std::string_view strategy() const noexcept override { return "multi_bd"; }
};

enum class TokenMerge : uint8_t { kDmaxTopk, kIterSmoothTopk };

// DMax: embeddings of some rows are blends of several tokens'.
struct ATTEND_API DmaxMetadata : BlockDiffusionMetadata {
  TensorView merge_mask;        // bool [total_q]: rows whose embedding is blended; absent = none
  TensorView merge_topk_ids;    // i32 [total_q, k]
  TensorView merge_topk_probs;  // f32 [total_q, k]
  TensorView merge_residual_probs;  // f32 [total_q]: share of the mask token
  int32_t merge_mask_token_id = -1;
  bool merge_renormalize = true;  // to the norms that were blended
  TokenMerge merge_mode = TokenMerge::kDmaxTopk;
  float merge_weight = 1.0f;

  std::string_view strategy() const noexcept override { return "dmax"; }
  void validate() const override;
};

// Which rows a step of Fast-dLLM v2 runs.
enum class FastDllmMode : uint8_t { kPrefill, kFullBufferInit, kSubBlockRefine, kFinalCommit };

struct ATTEND_API FastDllmV2Metadata : BlockDiffusionMetadata {
  FastDllmMode mode = FastDllmMode::kPrefill;
  bool cache_only = false;  // rows attend to the cache, which already holds their keys

  std::string_view strategy() const noexcept override { return "fast_dllm_v2"; }
};

// DiffusionGemma: the padding between prompt and canvas is a hole; prompts are causal by tokens.
struct ATTEND_API DiffusionGemmaMetadata : BlockDiffusionMetadata {
  bool prefix_causal = false;         // this step's rows are prompts
  TensorView hole_starts, hole_ends;  // i32 [num_reqs]: hidden keys; absent = none

  std::string_view strategy() const noexcept override { return "diffusion_gemma"; }
  void validate() const override;
  void apply_to(SeqLayout& layout, MaskSpec& mask) const override;
};

}  // namespace attend
