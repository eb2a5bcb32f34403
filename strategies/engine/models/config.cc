#include "strategies/engine/models/config.h"

#include <algorithm>
#include <filesystem>

#include "strategies/engine/models/json_field.h"

// Fields and defaults are those of the families' configuration classes in transformers 4 and 5.
namespace attend::engine {
namespace {

DType read_dtype(const JsonField& json) {
  const std::string field = json.has("dtype") ? "dtype" : "torch_dtype";
  const std::string word = json.string(field, "float32");
  if (word == "float32") return DType::kF32;
  if (word == "float16") return DType::kF16;
  if (word == "bfloat16") return DType::kBF16;
  json.unsupported(field, "float32, float16 or bfloat16");
}

// Where the rope's words stand, and theta, which older files keep outside.
RopeConfig read_rope(const JsonField& json, int64_t max_positions, double partial) {
  RopeConfig rope;
  rope.theta = json.number("rope_theta", 10000.0);
  rope.partial_rotary_factor = json.number("partial_rotary_factor", partial);
  rope.original_max_position_embeddings = max_positions;
  const std::string field = json.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!json.has(field)) return rope;
  const JsonField words = json.object(field);
  const std::string type = words.has("rope_type") ? "rope_type" : "type";
  rope.type = words.string(type, "default");
  rope.theta = words.number("rope_theta", rope.theta);
  rope.partial_rotary_factor = words.number("partial_rotary_factor", rope.partial_rotary_factor);
  for (const char* layers : {"full_attention", "sliding_attention", "linear_attention"})
    if (words.has(layers)) json.unsupported(field, "one set of words for all layers");
  if (rope.type == "default") return rope;
  if (rope.type == "linear" || rope.type == "dynamic") {
    rope.factor = words.number("factor");
    return rope;
  }
  if (rope.type != "llama3" && rope.type != "yarn")
    words.unsupported(type, "default, linear, dynamic, llama3 or yarn");

  const JsonField& original = json.has("original_max_position_embeddings") ? json : words;
  rope.original_max_position_embeddings =
      original.count("original_max_position_embeddings", 1, max_positions);
  if (rope.type == "llama3") {
    rope.factor = words.number("factor");
    rope.low_freq_factor = words.number("low_freq_factor");
    rope.high_freq_factor = words.number("high_freq_factor");
    if (rope.high_freq_factor <= rope.low_freq_factor)
      words.refuse("high_freq_factor", "more than low_freq_factor");
    return rope;
  }
  rope.factor =
      words.number("factor", static_cast<double>(max_positions) /
                                 static_cast<double>(rope.original_max_position_embeddings));
  rope.attention_factor = words.number("attention_factor", 0.0);
  rope.beta_fast = words.number("beta_fast", 32.0);
  rope.beta_slow = words.number("beta_slow", 1.0);
  rope.mscale = words.number("mscale", 0.0, true);
  rope.mscale_all_dim = words.number("mscale_all_dim", 0.0, true);
  rope.truncate = words.boolean("truncate", true);
  return rope;
}

// The keys that each layer's rows see, and which layers are gated delta layers.
void read_layers(const JsonField& json, ModelConfig& config) {
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  const std::string& family = config.model_type;
  const bool hybrid = family == "qwen3_next";
  const bool chosen = family == "qwen2" || family == "qwen3";  // which layers slide is told
  const bool sliding = family == "mistral" || ((chosen || family == "qwen3_moe") &&
                                               json.boolean("use_sliding_window", false));
  const int64_t window =
      sliding && !json.is_null("sliding_window") ? json.count("sliding_window", 1, 4096) : -1;

  std::vector<std::string> types;
  if (chosen || hybrid) types = json.texts("layer_types");
  if (types.empty()) {
    const int64_t first = chosen ? json.count("max_window_layers", 0, 28) : 0;
    const int64_t interval = hybrid ? json.count("full_attention_interval", 1, 4) : 1;
    for (int64_t i = 0; i < config.num_hidden_layers; ++i)
      types.emplace_back((i + 1) % interval != 0    ? "linear_attention"
                         : window > 0 && i >= first ? "sliding_attention"
                                                    : "full_attention");
  }
  if (types.size() != layers)
    json.refuse("layer_types", "a list of num_hidden_layers = " + std::to_string(layers));
  for (const std::string& type : types) {
    const bool known = type == "full_attention" || (type == "sliding_attention" && !hybrid) ||
                       (type == "linear_attention" && hybrid);
    if (!known)
      json.unsupported("layer_types", std::string("full_attention and ") +
                                          (hybrid ? "linear_attention" : "sliding_attention"));
    if (type == "sliding_attention" && window < 0)
      json.refuse("layer_types", "no sliding_attention, as there is no sliding_window in use");
    config.sliding_window.push_back(type == "sliding_attention" ? static_cast<int32_t>(window)
                                                                : -1);
    config.linear_attention_layer.push_back(type == "linear_attention");
  }
}

void read_linear_attention(const JsonField& json, LinearAttentionConfig& linear) {
  linear.k_heads = json.count("linear_num_key_heads", 1, 16);
  linear.v_heads = json.count("linear_num_value_heads", 1, 32);
  linear.k_dim = json.count("linear_key_head_dim", 1, 128);
  linear.v_dim = json.count("linear_value_head_dim", 1, 128);
  linear.conv_kernel = json.count("linear_conv_kernel_dim", 1, 4);
  if (linear.v_heads % linear.k_heads != 0)
    json.refuse("linear_num_value_heads",
                "a multiple of linear_num_key_heads = " + std::to_string(linear.k_heads));
}

void read_moe(const JsonField& json, ModelConfig& config) {
  const bool next = config.model_type == "qwen3_next";
  config.moe_layer.assign(static_cast<size_t>(config.num_hidden_layers), false);
  if (!next && config.model_type != "qwen3_moe") return;
  MoeConfig& moe = config.moe;
  const bool other_name = !json.has("num_experts") && json.has("num_local_experts");
  moe.num_experts = json.count(other_name ? "num_local_experts" : "num_experts", 0);
  if (moe.num_experts == 0) return;
  moe.num_experts_per_tok = json.count("num_experts_per_tok", 1);
  if (moe.num_experts_per_tok > moe.num_experts)
    json.refuse("num_experts_per_tok", "at most num_experts = " + std::to_string(moe.num_experts));
  moe.intermediate_size = json.count("moe_intermediate_size", 1);
  if (next) moe.shared_intermediate_size = json.count("shared_expert_intermediate_size", 1);
  moe.norm_topk_prob = json.boolean("norm_topk_prob", next);
  const int64_t step = json.count("decoder_sparse_step", 1, 1);
  const std::vector<int64_t> dense = json.counts("mlp_only_layers");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    config.moe_layer[static_cast<size_t>(i)] =
        std::find(dense.begin(), dense.end(), i) == dense.end() && (i + 1) % step == 0;
}

void read_sizes(const JsonField& json, ModelConfig& config) {
  config.vocab_size = json.count("vocab_size", 1);
  config.hidden_size = json.count("hidden_size", 1);
  config.intermediate_size = json.count("intermediate_size", 1);
  config.num_hidden_layers = json.count("num_hidden_layers", 1);
  config.num_attention_heads = json.count("num_attention_heads", 1);
  config.num_key_value_heads = json.count("num_key_value_heads", 1, config.num_attention_heads);
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    json.refuse("num_key_value_heads",
                "a divisor of num_attention_heads = " + std::to_string(config.num_attention_heads));
  const std::string& family = config.model_type;
  std::optional<int64_t> head_dim;
  if (family == "qwen3") head_dim = 128;
  if (family == "qwen3_next") head_dim = 256;
  if (!head_dim && config.hidden_size % config.num_attention_heads == 0)
    head_dim = config.hidden_size / config.num_attention_heads;
  config.head_dim = json.count("head_dim", 1, head_dim);
  const bool qwen = family.starts_with("qwen");
  config.max_position_embeddings = json.count("max_position_embeddings", 1,
                                              qwen                  ? 32768
                                              : family == "mistral" ? 131072
                                                                    : 2048);
}

void read_tokens(const JsonField& json, const std::string& folder, ModelConfig& config) {
  const std::string path = folder + "/generation_config.json";
  std::vector<int64_t> eos = json.counts("eos_token_id");
  if (std::filesystem::exists(path)) {
    const JsonFile file(path);
    const JsonField generation = file.root();
    if (generation.has("eos_token_id")) eos = generation.counts("eos_token_id");
  }
  config.eos_token_ids.assign(eos.begin(), eos.end());
  const auto id = [&](const char* field) {
    return static_cast<int32_t>(json.count(field, -1, -1));
  };
  config.bos_token_id = id("bos_token_id");
  config.pad_token_id = id("pad_token_id");
  config.mask_token_id = id("mask_token_id");
  config.diffusion_shift = json.boolean("diffusion_shift", false);
}

}  // namespace

ModelConfig read_config(const std::string& folder) {
  const JsonFile file(folder + "/config.json");
  const JsonField json = file.root();
  ModelConfig config;
  config.model_type = json.string("model_type");
  const std::string& family = config.model_type;
  constexpr const char* kFamilies[] = {"llama", "mistral",   "qwen2",
                                       "qwen3", "qwen3_moe", "qwen3_next"};
  if (std::find(std::begin(kFamilies), std::end(kFamilies), family) == std::end(kFamilies))
    json.unsupported("model_type", "llama, mistral, qwen2, qwen3, qwen3_moe or qwen3_next");
  const std::string act = json.string("hidden_act", "silu");
  if (act != "silu" && act != "swish") json.unsupported("hidden_act", "silu");
  if (json.has("quantization_config"))
    json.unsupported("quantization_config", "weights of f32, f16 or bf16");

  const bool next = family == "qwen3_next", qwen3 = family.starts_with("qwen3");
  config.dtype = read_dtype(json);
  read_sizes(json, config);
  config.rms_norm_eps = json.number("rms_norm_eps", 1e-6, true);
  config.tie_word_embeddings = json.boolean("tie_word_embeddings", false);
  const bool bias = (qwen3 || family == "llama") && json.boolean("attention_bias", false);
  config.attention_bias = bias || family == "qwen2";
  config.attention_o_bias = bias;
  config.mlp_bias = family == "llama" && json.boolean("mlp_bias", false);
  config.qk_norm = qwen3;
  config.norm_plus_one = next;
  config.gated_attention = next;

  config.rope = read_rope(json, config.max_position_embeddings, next ? 0.25 : 1.0);
  const double rotary = static_cast<double>(config.head_dim) * config.rope.partial_rotary_factor;
  if (config.rope.partial_rotary_factor > 1.0 || rotary < 1.0)
    json.refuse("partial_rotary_factor", "at most 1 and of one element of head_dim or more");
  if (!next && (config.rope.partial_rotary_factor != 1.0))
    json.unsupported("partial_rotary_factor", "1 in this family");
  if (static_cast<int64_t>(rotary) % 2 != 0 && static_cast<int64_t>(rotary) == config.head_dim)
    json.refuse("head_dim", "an even number, as all of it is rotated");
  read_layers(json, config);
  if (next) read_linear_attention(json, config.linear_attention);
  read_moe(json, config);
  read_tokens(json, folder, config);
  return config;
}

}  // namespace attend::engine
