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
  int32_t chunk_size = 64;             // tokens per chunk of prefill, 1..1024
  bool normalize_qk = false;           // L2-normalise rows of q and k first: x / (|x| + l2_eps)
  bool conv_silu = true;               // SiLU after the causal convolution
  float l2_eps = 1e-6f;
  float norm_eps = 1e-6f;     // of the gated RMSNorm
  int32_t padding_slot = -1;  // a slot that padded rows may share; -1 = none
  // Of mixed_qkv; 0 = not told: v_heads as many as out has, k_heads what k_dim of the state leaves.
  int32_t k_heads = 0, v_heads = 0;
};

// The tensors of one call; with cu_seqlens [total] in place of [batch, seqlen]. Every head has a
// state: heads = the larger of k_heads and v_heads, which is a multiple of the other; head h reads
// key head floor(h k_heads / heads) and value head floor(h v_heads / heads). Activations are f32,
// f16 or bf16, all of q, k, v, mixed_qkv, conv_state alike; arithmetic is f32.
//
// Sequences: of [batch, seqlen] or cu_seqlens, each with the state of its own number, or of slot
// state_indices[b] of the pools state, final_state and conv_state. A live slot belongs to one
// sequence. Sequences at padding_slot are padding: their out is 0, their inputs are not read, and
// the slot stays as it is. A sequence without tokens hands its state on bit for bit.
struct GdnArgs {
  TensorView q, k;  // [batch, seqlen, k_heads, k_dim]
  TensorView v;     // [batch, seqlen, v_heads, v_dim]
  TensorView out;   // [batch, seqlen, heads, v_dim], like v or f32; rows past the last stay as is
  // The decay, one of: g; alpha; a, a_log and dt_bias below.
  TensorView g;      // f32, natural log of the decay, <= 0: [.., heads], per channel [.., k_dim]
  TensorView alpha;  // f32, linear decay in (0, 1], shapes of g
  // One of beta, b.
  TensorView beta;           // f32 [.., heads], 0..2
  TensorView state;          // f32 [batch or slots, heads, v_dim, k_dim]; absent = starts at 0
  TensorView final_state;    // like state: where the state goes; absent = in place
  TensorView state_indices;  // i32/i64 [batch]: slot of each sequence
  TensorView cu_seqlens;     // i32/i64 [batch + 1]
  // The layer around the rule, each part optional: q, k, v come from a causal depthwise convolution
  // of mixed_qkv, the decay from a and beta from b, and out passes a gated RMSNorm.
  TensorView mixed_qkv;    // [.., channels], channels = 2 k_heads k_dim + v_heads v_dim: q, k, v
  TensorView conv_weight;  // [channels, taps]; the last tap multiplies the newest token
  TensorView conv_bias;    // [channels]
  // [batch or slots, channels, taps - 1] inputs of the convolution before this call, oldest first;
  // read and written. Absent = zeros, and nothing is kept.
  TensorView conv_state;
  TensorView a, b;  // [.., heads]: g = -exp(a_log) softplus(a + dt_bias), beta = sigmoid(b)
  TensorView a_log, dt_bias;  // f32 [heads]
  TensorView z, norm_weight;  // [.., heads, v_dim], [v_dim]: out = norm(out) norm_weight silu(z)
};

}  // namespace attend
