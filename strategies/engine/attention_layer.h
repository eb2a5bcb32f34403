#pragma once
#include <cstdint>

#include "attend/tensor.h"

namespace attend::engine {

// What one layer of a model asks of attention; it does not change from step to step. The batch (rows,
// pages, slots, mask) comes from the strategy's metadata, through fetch_attn_metadata().
struct AttentionLayer {
  int32_t layer_id = 0;         // which KV cache
  int32_t num_heads = 1;        // of q
  int32_t num_kv_heads = 1;     // num_heads is a multiple of it
  int32_t head_dim = 0;         // of q and k
  int32_t v_head_dim = -1;      // -1 = head_dim
  float scaling = 1.0f;         // of scores
  float logit_cap = 0.0f;       // softcap; 0 = off
  int32_t sliding_window = -1;  // keys that a row sees, its own included; -1 = all
  TensorView sinks;             // f32 [num_heads] or absent
};

// A gated delta layer (gdn_params.h says what the tensors mean).
struct GdnLayer {
  int32_t layer_id = 0;  // which state
  int32_t k_heads = 1, v_heads = 1, k_dim = 0, v_dim = 0;
  float norm_eps = 1e-6f;
  TensorView conv_weight, conv_bias, a_log, dt_bias, norm_weight;
};

}  // namespace attend::engine
