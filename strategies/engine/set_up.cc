#include "strategies/engine/set_up.h"

#include <algorithm>
#include <string>

#include "attend/error.h"
#include "attend/registry.h"
#include "strategies/engine/registry.h"

namespace attend::engine {
namespace {

[[noreturn]] void refuse(ErrorCode code, const std::string& what) {
  throw Error(code, "engine config: " + what);
}

// Whether this CPU multiplies bf16 faster than it could f32.
bool has_bf16_products() {
  return std::string_view(native_isa()).find("bf16") != std::string_view::npos;
}

int64_t pages_of(const EngineConfig& config, const CacheShapes& shapes, int64_t longest) {
  const auto page = KvPool::bytes_per_token(shapes.attention, *config.dtype) *
                    static_cast<uint64_t>(config.page_size);
  const int64_t most = config.max_num_reqs * ((longest + config.page_size - 1) / config.page_size);
  if (page == 0) return most;  // no layer keeps keys
  const auto fit = static_cast<int64_t>(static_cast<uint64_t>(config.kv_cache_bytes) / page);
  if (fit < 1)
    refuse(ErrorCode::kInvalidArgument,
           "kv_cache_bytes is " + std::to_string(config.kv_cache_bytes) +
               ", expected at least the " + std::to_string(page) + " bytes of a page of " +
               std::to_string(config.page_size) + " tokens");
  return std::min(fit, most);
}

// How long a sequence the positions of this model tell apart; scaled ropes go on after the length
// that it was first trained on.
int64_t longest_sequence(const ModelConfig& model) {
  const RopeConfig& rope = model.rope;
  const int64_t plain = model.max_position_embeddings;
  if (plain <= 0) return 4096;
  const auto scaled = [&](int64_t length) {
    const double product = static_cast<double>(length) * rope.factor;
    return std::max(plain, static_cast<int64_t>(std::min(product, double{INT32_MAX})));
  };
  if (rope.type == "yarn") return scaled(rope.original_max_position_embeddings);
  return rope.type == "linear" || rope.type == "dynamic" ? scaled(plain) : plain;
}

}  // namespace

CacheShapes cache_shapes(const ModelConfig& model) {
  CacheShapes shapes;
  const LinearAttentionConfig& gdn = model.linear_attention;
  for (int64_t i = 0; i < model.num_hidden_layers; ++i) {
    const bool is_gdn = static_cast<size_t>(i) < model.linear_attention_layer.size() &&
                        model.linear_attention_layer[static_cast<size_t>(i)];
    shapes.is_hybrid |= is_gdn;
    shapes.attention.push_back(
        is_gdn ? KvPool::Layer{}
               : KvPool::Layer{model.num_key_value_heads, model.head_dim, model.head_dim});
    shapes.gdn.push_back(
        is_gdn
            ? GdnPool::Layer{std::max(gdn.k_heads, gdn.v_heads), gdn.v_dim, gdn.k_dim,
                             2 * gdn.k_heads * gdn.k_dim + gdn.v_heads * gdn.v_dim, gdn.conv_kernel}
            : GdnPool::Layer{});
  }
  return shapes;
}

ModelOptions model_options(EngineConfig& config) {
  if (config.device.type != DeviceType::kNative)
    refuse(ErrorCode::kUnsupported, "device is " + to_string(config.device) +
                                        ", expected native: models have no products for other "
                                        "devices yet");
  if (!config.dtype) {
    const DType stored = read_config(config.model).dtype;
    config.dtype = stored != DType::kF32 && has_bf16_products() ? DType::kBF16 : DType::kF32;
  }
  if (*config.dtype != DType::kF32 && *config.dtype != DType::kBF16)
    refuse(ErrorCode::kUnsupported,
           std::string("dtype is ") + name(*config.dtype) + ", expected f32 or bf16");
  return {.compute = *config.dtype, .batch_invariant = config.batch_invariant};
}

void resolve(EngineConfig& config, const ModelConfig& model, const CacheShapes& shapes) {
  const auto expect = [](const char* field, int64_t got, int64_t least) {
    if (got < least)
      refuse(ErrorCode::kInvalidArgument, std::string(field) + " is " + std::to_string(got) +
                                              ", expected " + std::to_string(least) + " or more");
  };
  const auto expect_at_most = [](const char* field, int64_t got, int64_t most, const char* why) {
    if (got > most)
      refuse(ErrorCode::kInvalidArgument, std::string(field) + " is " + std::to_string(got) +
                                              ", expected at most " + std::to_string(most) + why);
  };
  expect("page_size", config.page_size, 1);
  expect("num_pages", config.num_pages, 0);
  expect("max_num_reqs", config.max_num_reqs, 1);
  expect("max_model_len", config.max_model_len, 0);
  strategies().requests.check(config.strategy);
  if (!config.dtype) config.dtype = DType::kF32;
  if (!config.eos_token_ids) config.eos_token_ids = model.eos_token_ids;
  if (shapes.is_hybrid) config.prefix_caching = false;  // a page has no state of the other layers
  const int64_t longest = longest_sequence(model);
  expect_at_most("max_model_len", config.max_model_len, longest, " (the model's length)");
  if (config.max_model_len == 0) config.max_model_len = longest;
  const int64_t most_pages = int64_t{INT32_MAX} / config.page_size;  // slots are i32
  expect_at_most("num_pages", config.num_pages, most_pages, " (slots are numbers of 32 bits)");
  if (config.num_pages == 0)
    config.num_pages =
        static_cast<int32_t>(std::min(pages_of(config, shapes, config.max_model_len), most_pages));
}

}  // namespace attend::engine
