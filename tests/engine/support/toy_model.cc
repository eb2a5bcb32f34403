#include "tests/engine/support/toy_model.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace attend::testing {
namespace {

constexpr int64_t kQ = ToyWeights::kHeads * ToyWeights::kDim;
constexpr int64_t kKv = ToyWeights::kKvHeads * ToyWeights::kDim;
constexpr int64_t kHidden = ToyWeights::kHidden;

// y = W x, W [rows, x.size()].
template <class T>
std::vector<T> product(const std::vector<float>& w, const std::vector<T>& x) {
  std::vector<T> y(w.size() / x.size());
  for (size_t r = 0; r < y.size(); ++r) {
    T sum = 0;
    for (size_t c = 0; c < x.size(); ++c) sum += static_cast<T>(w[r * x.size() + c]) * x[c];
    y[r] = sum;
  }
  return y;
}

// What a token brings along: its embedding and something of where it stands.
template <class T>
std::vector<T> entry(const ToyWeights& w, int32_t token, int64_t position) {
  std::vector<T> x(kHidden);
  for (int64_t i = 0; i < kHidden; ++i)
    x[static_cast<size_t>(i)] =
        static_cast<T>(w.embedding[static_cast<size_t>(token * kHidden + i)]) +
        static_cast<T>(std::sin(static_cast<double>(position) * 0.37 * static_cast<double>(i + 1)));
  return x;
}

template <class T>
void add_mlp(const std::vector<float>& w, std::vector<T>& x) {
  const std::vector<T> y = product(w, x);
  for (size_t i = 0; i < x.size(); ++i) x[i] += std::tanh(y[i]);
}

}  // namespace

ToyWeights::ToyWeights(uint32_t seed) {
  std::mt19937 random(seed);
  const auto fill = [&](int64_t count, double scale) {
    std::vector<float> v(static_cast<size_t>(count));
    for (float& x : v) x = static_cast<float>(scale * (random() / 2147483648.0 - 1.0));
    return v;
  };
  embedding = fill(kVocab * kHidden, 1.5);
  for (int64_t l = 0; l < kLayers; ++l)
    layers.push_back({fill(kQ * kHidden, 0.9), fill(kKv * kHidden, 0.9), fill(kKv * kHidden, 0.7),
                      fill(kHidden * kQ, 0.5), fill(kHidden * kHidden, 0.5)});
}

ToyModel::ToyModel(uint32_t seed, int64_t max_positions) : weights_(seed) {
  config_.model_type = "toy";
  config_.vocab_size = ToyWeights::kVocab;
  config_.hidden_size = kHidden;
  config_.num_hidden_layers = ToyWeights::kLayers;
  config_.num_attention_heads = ToyWeights::kHeads;
  config_.num_key_value_heads = ToyWeights::kKvHeads;
  config_.head_dim = ToyWeights::kDim;
  config_.max_position_embeddings = max_positions;
}

void ToyModel::forward(const engine::ModelInput& input, engine::AttentionBackend& backend,
                       const TensorView& logits) {
  const size_t rows = input.ids.size();
  std::vector<std::vector<float>> x;
  for (size_t r = 0; r < rows; ++r)
    x.push_back(entry<float>(weights_, input.ids[r], input.positions[r]));
  for (int64_t l = 0; l < ToyWeights::kLayers; ++l) {
    const ToyWeights::Layer& w = weights_.layers[static_cast<size_t>(l)];
    std::vector<float> q, k, v, out(rows * kQ);
    for (size_t r = 0; r < rows; ++r)
      for (auto [to, from] : {std::pair{&q, &w.q}, {&k, &w.k}, {&v, &w.v}}) {
        const std::vector<float> y = product(*from, x[r]);
        to->insert(to->end(), y.begin(), y.end());
      }
    const auto view = [&](std::vector<float>& t, int64_t heads) {
      return contiguous(t.data(), DType::kF32,
                        {static_cast<int64_t>(rows), heads, ToyWeights::kDim});
    };
    engine::AttentionLayer layer;
    layer.layer_id = static_cast<int32_t>(l);
    layer.num_heads = ToyWeights::kHeads;
    layer.num_kv_heads = ToyWeights::kKvHeads;
    layer.head_dim = ToyWeights::kDim;
    layer.scaling = 0.35f;
    backend.forward(layer, view(q, ToyWeights::kHeads), view(k, ToyWeights::kKvHeads),
                    view(v, ToyWeights::kKvHeads), view(out, ToyWeights::kHeads));
    for (size_t r = 0; r < rows; ++r) {
      const std::vector<float> y =
          product(w.o, std::vector<float>(out.begin() + static_cast<std::ptrdiff_t>(r * kQ),
                                          out.begin() + static_cast<std::ptrdiff_t>((r + 1) * kQ)));
      for (size_t i = 0; i < y.size(); ++i) x[r][i] += y[i];
      add_mlp(w.mlp, x[r]);
    }
  }
  for (size_t i = 0; i < input.logits_rows.size(); ++i) {
    const std::vector<float> y =
        product(weights_.embedding, x[static_cast<size_t>(input.logits_rows[i])]);
    std::copy(y.begin(), y.end(),
              static_cast<float*>(logits.data) + static_cast<int64_t>(i) * logits.step(0));
  }
}

std::vector<double> toy_logits(const ToyWeights& weights, const std::vector<int32_t>& tokens) {
  std::vector<std::vector<double>> x;
  for (size_t t = 0; t < tokens.size(); ++t)
    x.push_back(entry<double>(weights, tokens[t], static_cast<int64_t>(t)));
  for (const ToyWeights::Layer& w : weights.layers) {
    std::vector<std::vector<double>> q, k, v;
    for (const auto& row : x) {
      q.push_back(product(w.q, row));
      k.push_back(product(w.k, row));
      v.push_back(product(w.v, row));
    }
    for (size_t t = 0; t < x.size(); ++t) {
      std::vector<double> out(kQ);
      for (int64_t h = 0; h < ToyWeights::kHeads; ++h) {
        const int64_t kv = h / (ToyWeights::kHeads / ToyWeights::kKvHeads);
        std::vector<double> weight;
        double highest = -1e300, total = 0;
        for (size_t j = 0; j <= t; ++j) {
          double s = 0;
          for (int64_t d = 0; d < ToyWeights::kDim; ++d)
            s += q[t][static_cast<size_t>(h * ToyWeights::kDim + d)] *
                 k[j][static_cast<size_t>(kv * ToyWeights::kDim + d)];
          weight.push_back(s * static_cast<double>(0.35f));
          highest = std::max(highest, weight.back());
        }
        for (double& s : weight) total += s = std::exp(s - highest);
        for (size_t j = 0; j <= t; ++j)
          for (int64_t d = 0; d < ToyWeights::kDim; ++d)
            out[static_cast<size_t>(h * ToyWeights::kDim + d)] +=
                weight[j] / total * v[j][static_cast<size_t>(kv * ToyWeights::kDim + d)];
      }
      const std::vector<double> y = product(w.o, out);
      for (size_t i = 0; i < y.size(); ++i) x[t][i] += y[i];
      add_mlp(w.mlp, x[t]);
    }
  }
  return product(weights.embedding, x.back());
}

std::vector<int32_t> toy_greedy(const ToyWeights& weights, std::vector<int32_t> tokens,
                                int64_t most, const std::vector<int32_t>& stop) {
  std::vector<int32_t> response;
  while (static_cast<int64_t>(response.size()) < most) {
    const std::vector<double> logits = toy_logits(weights, tokens);
    const auto next =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    tokens.push_back(next);
    response.push_back(next);
    if (std::find(stop.begin(), stop.end(), next) != stop.end()) break;
  }
  return response;
}

}  // namespace attend::testing
