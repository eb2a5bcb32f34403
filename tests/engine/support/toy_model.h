#pragma once
#include <cstdint>
#include <vector>

#include "strategies/engine/models/model.h"

namespace attend::testing {

// A decoder that is small enough to be written twice: with an AttentionBackend in f32 (ToyModel), and
// densely, all keys computed again for every token, in double (toy_logits). Rows are computed one by
// one, so that only attention can make a row depend on its company.
struct ToyWeights {
  static constexpr int64_t kVocab = 61, kHidden = 12, kHeads = 4, kKvHeads = 2, kDim = 8,
                           kLayers = 2;
  struct Layer {
    std::vector<float> q, k, v, o, mlp;
  };
  explicit ToyWeights(uint32_t seed);
  std::vector<float> embedding;  // [kVocab, kHidden]
  std::vector<Layer> layers;
};

class ToyModel final : public engine::Model {
 public:
  explicit ToyModel(uint32_t seed, int64_t max_positions = 4096);
  const engine::ModelConfig& config() const noexcept override { return config_; }
  uint64_t weight_bytes() const noexcept override { return 0; }
  void forward(const engine::ModelInput& input, engine::AttentionBackend& backend,
               const TensorView& logits) override;

 private:
  ToyWeights weights_;
  engine::ModelConfig config_;
};

// Logits of the token after the last of these.
std::vector<double> toy_logits(const ToyWeights& weights, const std::vector<int32_t>& tokens);

// What greedy decoding yields, until one of `stop` (which is kept) or `most` tokens.
std::vector<int32_t> toy_greedy(const ToyWeights& weights, std::vector<int32_t> prompt,
                                int64_t most, const std::vector<int32_t>& stop = {});

}  // namespace attend::testing
