#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/tensor.h"

namespace attend::engine {

// rope_scaling / rope_parameters of config.json.
struct RopeConfig {
  std::string type = "default";  // default, linear, dynamic, llama3, yarn
  double theta = 10000.0;
  double partial_rotary_factor = 1.0;
  double factor = 1.0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0, beta_slow = 1.0;              // yarn
  double attention_factor = 0.0;                         // yarn; 0 = from factor
  double mscale = 0.0, mscale_all_dim = 0.0;             // yarn
  int64_t original_max_position_embeddings = 0;          // 0 = the model's
  bool truncate = true;                                  // yarn
};

struct MoeConfig {
  int64_t num_experts = 0, num_experts_per_tok = 0;
  int64_t intermediate_size = 0, shared_intermediate_size = 0;
  bool norm_topk_prob = true;
};

// The gated delta layers of a hybrid model.
struct LinearAttentionConfig {
  int64_t k_heads = 0, v_heads = 0, k_dim = 0, v_dim = 0, conv_kernel = 4;
};

// What config.json says, in one vocabulary for all families.
struct ModelConfig {
  std::string model_type;     // "llama", "qwen2", "qwen3", "qwen3_next"
  DType dtype = DType::kF32;  // of the checkpoint, torch_dtype or dtype
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t num_hidden_layers = 0, num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool attention_bias = false;    // of q, k, v
  bool attention_o_bias = false;  // of the output projection
  bool mlp_bias = false;
  bool qk_norm = false;          // RMSNorm of every head of q and k
  bool norm_plus_one = false;    // norms multiply by 1 + weight
  bool gated_attention = false;  // q_proj also yields a gate of the output
  RopeConfig rope;
  // Per layer: keys that a row sees, its own included; -1 = all.
  std::vector<int32_t> sliding_window;
  // Per layer: whether it is a gated delta layer instead of attention.
  std::vector<bool> linear_attention_layer;
  LinearAttentionConfig linear_attention;
  // Per layer: whether its MLP is a mixture of experts.
  std::vector<bool> moe_layer;
  MoeConfig moe;
  std::vector<int32_t> eos_token_ids;  // config.json, overridden by generation_config.json
  int32_t bos_token_id = -1, pad_token_id = -1, mask_token_id = -1;
  bool diffusion_shift = false;  // logits of a row are those of the next position
};

// Reads <folder>/config.json (and generation_config.json for eos, where there is one).
//   errors   kInvalidArgument naming the file and the field; kUnsupported for a family or a rope type
//            that is not here, with the list of those that are
ModelConfig read_config(const std::string& folder);

}  // namespace attend::engine
