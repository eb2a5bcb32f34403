#pragma once
#include <cstdint>
#include <optional>

#include "attend/tensor.h"

namespace attend {

// Gated delta rule, one token:
//   S = exp(g) S;  d = beta (v - S k);  S = S + d k^T;  out = S q * softmax_scale
// The error is taken after the decay and the output after the update.
struct GdnParams {
  std::optional<float> softmax_scale;  // unset = 1 / sqrt(k_dim)
  int32_t chunk_size = 64;             // tokens per chunk of prefill
  bool normalize_qk = false;           // L2-normalise rows of q and k first: x / (|x| + l2_eps)
  bool conv_silu = true;               // SiLU after the causal convolution
  float l2_eps = 1e-6f;
  float norm_eps = 1e-6f;     // of the gated RMSNorm
  int32_t padding_slot = -1;  // a slot that padded rows may share; -1 = none
};

// The tensors of one call; with cu_seqlens [total] in place of [batch, seqlen]. The number of value
// heads is a multiple of the number of key heads, or the reverse.
struct GdnArgs {
  TensorView q, k;    // [batch, seqlen, k_heads, k_dim]
  TensorView v, out;  // [batch, seqlen, v_heads, v_dim]
  TensorView g;       // f32, natural log of the decay, <= 0: [.., v_heads], per channel [.., k_dim]
  TensorView alpha;   // f32, linear decay in (0, 1], in place of g
  TensorView beta;    // f32 [.., v_heads], 0..2
  TensorView state;   // f32 [batch or slots, v_heads, v_dim, k_dim], any strides
  TensorView final_state;    // where the state goes; absent = in place
  TensorView state_indices;  // i32/i64 [batch]: slot of each sequence
  TensorView cu_seqlens;     // i32/i64 [batch + 1]
  // The layer around the rule, all optional: q, k, v come from a causal depthwise convolution of
  // mixed_qkv, g and beta from a and b, and out passes a gated RMSNorm.
  TensorView mixed_qkv;    // [.., channels], channels = 2 k_heads k_dim + v_heads v_dim
  TensorView conv_weight;  // [channels, taps]; the last tap multiplies the newest token
  TensorView conv_bias;    // [channels]
  TensorView conv_state;   // [batch or slots, channels, taps - 1], oldest first, read and written
  TensorView a, b;  // [.., v_heads]: g = -exp(a_log) softplus(a + dt_bias), beta = sigmoid(b)
  TensorView a_log, dt_bias;  // f32 [v_heads]
  TensorView z, norm_weight;  // [.., v_heads, v_dim], [v_dim]
};

}  // namespace attend
