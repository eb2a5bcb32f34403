#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "attend/error.h"
#include "strategies/engine/models/attention_block.h"
#include "strategies/engine/models/gated_delta_block.h"
#include "strategies/engine/models/model.h"
#include "strategies/engine/models/moe.h"

// The decoder of all families: embedding, layers of (norm, attention or gated delta, norm, MLP or
// experts) on a residual stream of f32, a last norm, and the head on the rows that are asked for.
namespace attend::engine {
namespace {

struct Layer {
  Tensor input_norm, post_norm;
  std::variant<AttentionBlock, GatedDeltaBlock> mixer;
  std::variant<Mlp, Moe> mlp;

  static Layer read(const LayerSource& from) {
    const ModelConfig& c = from.config;
    const auto i = static_cast<size_t>(from.layer);
    using Mixer = decltype(Layer::mixer);
    using Feed = decltype(Layer::mlp);
    return {from.weights.tensor_f32(from.name("input_layernorm.weight"), {c.hidden_size}),
            from.weights.tensor_f32(from.name("post_attention_layernorm.weight"), {c.hidden_size}),
            c.linear_attention_layer[i] ? Mixer(std::in_place_type<GatedDeltaBlock>, from)
                                        : Mixer(std::in_place_type<AttentionBlock>, from),
            c.moe_layer[i] ? Feed(std::in_place_type<Moe>, from)
                           : Feed(std::in_place_type<Mlp>, from, from.name("mlp"),
                                  c.intermediate_size, c.mlp_bias)};
  }
};

class Decoder final : public Model {
 public:
  Decoder(const std::string& folder, const ModelOptions& options);
  const ModelConfig& config() const noexcept override { return config_; }
  uint64_t weight_bytes() const noexcept override { return weight_bytes_; }
  void forward(const ModelInput& input, AttentionBackend& backend,
               const TensorView& logits) override;

 private:
  void check(const ModelInput& input, const TensorView& logits) const;
  void norm(const TensorView& x, const Tensor& weight, const TensorView& y) const {
    rms_norm(x, weight, static_cast<float>(config_.rms_norm_eps), config_.norm_plus_one, y);
  }

  ModelConfig config_;
  ModelOptions options_;
  Checkpoint weights_;    // embedding_ is in its files
  TensorView embedding_;  // [vocab, hidden] as the checkpoint has it
  std::vector<Layer> layers_;
  Tensor last_norm_;
  std::optional<Linear> head_;
  RotaryTable rotary_;
  Buffer residual_, last_;
  Workspace workspace_;
  uint64_t weight_bytes_ = 0;
};

Decoder::Decoder(const std::string& folder, const ModelOptions& options)
    : config_(read_config(folder)), options_(options), weights_(folder), rotary_(config_) {
  if (options.compute != DType::kF32 && options.compute != DType::kBF16)
    throw Error(ErrorCode::kUnsupported, std::string("load_model: compute is ") +
                                             name(options.compute) + ", expected f32 or bf16");
  const int64_t vocab = config_.vocab_size, hidden = config_.hidden_size;
  embedding_ = weights_.tensor("model.embed_tokens.weight", {vocab, hidden});
  for (int32_t i = 0; i < config_.num_hidden_layers; ++i) {
    layers_.push_back(Layer::read({weights_, config_, options.compute, i}));
    weights_.drop_pages();
  }
  last_norm_ = weights_.tensor_f32("model.norm.weight", {hidden});
  const Linear::Part head{
      config_.tie_word_embeddings ? embedding_ : weights_.tensor("lm_head.weight", {vocab, hidden}),
      {}};
  head_.emplace(std::span(&head, 1), options.compute);
  // Frequencies that old files kept, the tied head that some write, layers that predict ahead.
  std::vector<std::string_view> ignored = {"*rotary_emb.inv_freq"};
  if (config_.tie_word_embeddings) ignored.emplace_back("lm_head.weight");
  if (config_.model_type == "qwen3_next") ignored.emplace_back("mtp.*");
  weights_.finish(ignored);
  weights_.drop_pages();

  weight_bytes_ = head_->weight_bytes();
  const auto bytes = [](const auto& block) { return block.weight_bytes(); };
  for (const Layer& layer : layers_)
    weight_bytes_ += std::visit(bytes, layer.mixer) + std::visit(bytes, layer.mlp);
}

void Decoder::check(const ModelInput& input, const TensorView& logits) const {
  const auto refuse = [](ErrorCode code, const std::string& what) {
    throw Error(code, "model forward: " + what);
  };
  const size_t rows = input.ids.size();
  if (input.positions.size() != rows)
    refuse(ErrorCode::kInvalidArgument, "positions length is " +
                                            std::to_string(input.positions.size()) + ", expected " +
                                            std::to_string(rows) + " of ids");
  for (const int32_t row : input.logits_rows)
    if (row < 0 || static_cast<size_t>(row) >= rows)
      refuse(ErrorCode::kOutOfRange, "logits_rows holds " + std::to_string(row) +
                                         ", expected rows below " + std::to_string(rows));
  const auto wanted = static_cast<int64_t>(input.logits_rows.size());
  if (logits.rank != 2 || logits.dim(0) != wanted || logits.dim(1) != config_.vocab_size ||
      logits.dtype != DType::kF32)
    refuse(ErrorCode::kInvalidArgument, "logits are " + to_string(logits) + ", expected f32[" +
                                            std::to_string(wanted) + ", " +
                                            std::to_string(config_.vocab_size) + "]");
}

void Decoder::forward(const ModelInput& input, AttentionBackend& backend,
                      const TensorView& logits) {
  check(input, logits);
  if (input.ids.empty()) return;
  const auto rows = static_cast<int64_t>(input.ids.size());
  const Step step{backend,          workspace_,
                  input.positions,  rotary_.rows(config_, input.positions),
                  options_.compute, options_.batch_invariant};

  const TensorView x = residual_.get(rows, config_.hidden_size);
  gather_rows(embedding_, input.ids, x);
  for (const Layer& layer : layers_) {
    const TensorView normed = workspace_.normed.get(rows, config_.hidden_size);
    norm(x, layer.input_norm, normed);
    std::visit([&](const auto& mixer) { mixer.forward(step, normed, x); }, layer.mixer);
    norm(x, layer.post_norm, normed);
    std::visit([&](const auto& mlp) { mlp.forward(step, normed, x); }, layer.mlp);
  }
  if (input.logits_rows.empty()) return;
  const TensorView last = last_.get(logits.dim(0), config_.hidden_size);
  gather_rows(x, input.logits_rows, last);
  norm(last, last_norm_, last);
  head_->run(last, logits, options_.batch_invariant);
}

}  // namespace

std::unique_ptr<Model> load_model(const std::string& folder, const ModelOptions& options) {
  return std::make_unique<Decoder>(folder, options);
}

}  // namespace attend::engine
