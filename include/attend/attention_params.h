#pragma once
#include <cstdint>
#include <optional>

#include "attend/tensor.h"

namespace attend {

class RingTransport;  // ring.h: how blocks travel between ranks

// Where row i of a query stands on the key axis: p = i + d. Lengths are those in use.
//
//   seqlen_q = 3, seqlen_k = 5, causal     bottom right, d = 2     top left, d = 0
//                                          1 1 1 . .               1 . . . .
//                                          1 1 1 1 .               1 1 . . .
//                                          1 1 1 1 1               1 1 1 . .
//
// The operators' default is bottom right; sdpa's, like the frameworks', is top left.
enum class Diagonal : uint8_t { kBottomRight, kTopLeft, kOperatorDefault };

// Which keys a row may see. Every word that is given applies; together they intersect. Index
// vectors are i32 or i64.
struct MaskSpec {
  bool causal = false;  // keep j <= p
  Diagonal diagonal = Diagonal::kOperatorDefault;
  int32_t block_size = 0;     // > 0: block-causal in place of causal: keep blk(j) <= blk(p), where
                              //   blk(x) = -1 for x < origin, else floor((x - origin) / block_size)
  int32_t window_left = -1;   // keep j >= p - window_left;  own position not counted, -1 unlimited
  int32_t window_right = -1;  // keep j <= p + window_right; own position not counted, -1 unlimited

  TensorView q_start;         // [batch], may be negative: d, in place of the diagonal
  TensorView block_origin;    // [batch]; with block_size
  TensorView prefix_lens;     // [batch]: rows p < prefix see j < prefix in place of (block-)causal
  TensorView hole_starts;     // [batch]: keys hole_start <= j < hole_end are hidden from every row
  TensorView hole_ends;       // [batch]
  TensorView q_segment_ids;   // [batch, seqlen_q] or [total_q]: a row sees its own segment's keys;
  TensorView kv_segment_ids;  // [batch, seqlen_k] or [total_k]; id < 0 sees and is seen by nothing

  // bool, true = keep; right-aligned to [batch, heads, seqlen_q, seqlen_k], each dim 1 or full
  TensorView keep;
  // splash: bool, right-aligned to [batch, heads, q_tiles, k_tiles]; an entry stands for
  // block_mask_q rows x block_mask_k keys
  TensorView block_mask;
  int32_t block_mask_q = 0, block_mask_k = 0;
};

// What a mask and a bias mean together; unset is an error that names the two (sdpa: both).
enum class MaskWithBias : uint8_t { kUnset, kBoth, kBiasOnly };

// At which step vanilla hands out its scores; the steps are those of AttentionParams.
enum class ScoresStage : uint8_t { kScaled, kCapped, kMasked };

// Called on the caller's thread, before any kernel, only when keep and bias are both absent.
// The returned view must stay valid until the call has run.
struct InitBias {
  TensorView (*make)(void* user) = nullptr;
  void* user = nullptr;
};

enum class RingPlacement : uint8_t { kContiguous, kZigzag };

// What is done to a score, in this order and no other:
//   1  s = dot(q_i, k_j) * softmax_scale
//   2  softcap > 0:  s = softcap * tanh(s / softcap)
//   3  s += bias;  s -= alibi_slope * |p - j|
//   4  keys that the mask hides are replaced by -inf
//   5  softmax in f32 over the visible keys and, once per row, the sinks (not scaled, not capped)
//   6  dropout: kept weights / (1 - p)
struct AttentionParams {
  std::optional<float> softmax_scale;  // unset = 1 / sqrt(head_dim); zero and negative are legal
  float softcap = 0.0f;                // 0 = off
  MaskSpec mask;
  TensorView bias;          // f32, f16 or bf16, shaped like keep; -inf is a mask
  TensorView alibi_slopes;  // f32 [heads] or [batch, heads]
  TensorView sinks;         // f32 [heads] or [heads, n]: logits without a value row
  MaskWithBias mask_with_bias = MaskWithBias::kUnset;
  InitBias init_bias;
  bool deterministic = true;             // true switches dropout off
  bool allow_tf32 = false;               // f32 products may be rounded to TF32; native never does
  float dropout_p = 0.0f;                // in [0, 1)
  std::optional<uint64_t> dropout_seed;  // the Philox key; required when dropout runs
  uint64_t dropout_offset = 0;           // low 32 bits: last word of the Philox counter
  ScoresStage scores_stage = ScoresStage::kMasked;
  RingTransport* ring_transport = nullptr;  // ring: null = blockwise scan in this process
  RingPlacement ring_placement = RingPlacement::kContiguous;
};

// Where each sequence's rows are; all empty = dense. Index tensors are i32 or i64.
struct SeqLayout {
  // Ragged, [batch + 1]: q and out are [total_q, heads, dim], k and v [total_k, kv_heads, dim], lse
  // is [heads, total_q].
  TensorView cu_seqlens_q, cu_seqlens_k;

  TensorView seqused_q;  // [batch]: rows in use; later rows are neither computed nor written
  TensorView seqused_k;  // [batch]: keys in use

  // Paged: k and v are [pages, page_size, kv_heads, dim]; two forms of a page table.
  TensorView block_table;       // [batch, max_pages], -1 padded
  TensorView kv_indptr;         // CSR: [batch + 1]
  TensorView kv_indices;        // CSR: [kv_indptr[batch]] page ids
  TensorView kv_last_page_len;  // CSR: [batch], 1..page_size, 0 where a request has no page
  TensorView context_lens;      // [batch]: keys in the cache before this call's own rows
  TensorView slot_mapping;      // [tokens]: page * page_size + offset of a new row, < 0 = not kept

  TensorView start, end;  // decode, [batch]: the key range start <= j < end

  // Upper bounds, so that a launch needs no device read; 0 = not told.
  int64_t max_seqlen_q = 0, max_seqlen_k = 0;
};

// The tensors of one call; ragged shapes drop [batch, seqlen] for [total].
struct AttentionArgs {
  TensorView q;    // [batch, seqlen_q, heads, head_dim]
  TensorView k;    // [batch, seqlen_k, kv_heads, head_dim], or pages; heads % kv_heads == 0
  TensorView v;    // [batch, seqlen_k, kv_heads, v_dim], likewise
  TensorView out;  // [batch, seqlen_q, heads, v_dim], q's dtype or f32

  // Optional, f32 [batch, heads, seqlen_q] or ragged [heads, total_q]: natural logarithm of the sum
  // of exponentials, sinks included; -inf where no key is visible and no sink is given.
  TensorView lse;
  // Optional, vanilla, [batch, heads, seqlen_q, seqlen_k] (ragged: of the longest sequences): what
  // multiplied v, f32 or q's dtype; and scores in f32 at params.scores_stage. Keys that are not in
  // use have weight 0 and score -inf.
  TensorView weights, scores;

  TensorView k_new, v_new;          // paged, append: this call's own rows, [tokens, kv_heads, dim]
  TensorView k_descale, v_descale;  // fp8, int8 caches: f32 scalar, [kv_heads], [batch, kv_heads]
  SeqLayout seq;
};

}  // namespace attend
