#pragma once
#include <cstring>
#include <map>
#include <vector>

#include "attend/attend.h"
#include "strategies/engine/attention_backend.h"

namespace attend::testing {

// Attention of one sequence over keys that lie one behind the other: no pages, no metadata, the
// plainest operators. Steps append to what steps before them stored.
class DenseBackend final : public engine::AttentionBackend {
 public:
  void init_forward_metadata(const AttnMetadata&) override {}

  void forward_gdn(const engine::GdnLayer& layer, const TensorView& mixed_qkv, const TensorView& a,
                   const TensorView& b, const TensorView& z, const TensorView& out) override {
    State& state = states_[layer.layer_id];
    const int64_t channels = mixed_qkv.dim(1), taps = layer.conv_weight.dim(1);
    if (!state.rule.view()) {
      state.rule = zeros({1, layer.v_heads, layer.v_dim, layer.k_dim});
      state.conv = zeros({1, channels, taps - 1});
    }
    GdnArgs args;
    args.mixed_qkv = batched(mixed_qkv);
    args.a = batched(a);
    args.b = batched(b);
    args.z = batched(z);
    args.out = batched(out);
    args.state = state.rule;
    args.conv_state = state.conv;
    args.conv_weight = layer.conv_weight;
    args.conv_bias = layer.conv_bias;
    args.a_log = layer.a_log;
    args.dt_bias = layer.dt_bias;
    args.norm_weight = layer.norm_weight;
    GdnParams params;
    params.normalize_qk = true;
    params.norm_eps = layer.norm_eps;
    params.k_heads = layer.k_heads;
    params.v_heads = layer.v_heads;
    GatedDeltaNet().forward(args, params);
  }

 protected:
  engine::ForwardMode mode() const override { return engine::ForwardMode::kExtend; }
  void forward_decode(const engine::AttentionLayer& layer, const TensorView& q, const TensorView& k,
                      const TensorView& v, const TensorView& out, bool save) override {
    forward_extend(layer, q, k, v, out, save);
  }
  void forward_extend(const engine::AttentionLayer& layer, const TensorView& q, const TensorView& k,
                      const TensorView& v, const TensorView& out, bool) override {
    Keys& keys = keys_[layer.layer_id];
    append(k, keys.k);
    append(v, keys.v);
    AttentionArgs args;
    args.q = batched(q);
    args.k = whole(keys.k, k);
    args.v = whole(keys.v, v);
    args.out = batched(out);
    AttentionParams params;
    params.softmax_scale = layer.scaling;
    params.softcap = layer.logit_cap;
    params.mask.causal = true;
    if (layer.sliding_window >= 0) params.mask.window_left = layer.sliding_window - 1;
    VanillaAttention().forward(args, params);
  }

 private:
  struct Keys {
    std::vector<char> k, v;
  };
  struct State {
    Tensor rule, conv;
  };

  static Tensor zeros(std::initializer_list<int64_t> shape) {
    Tensor t = Tensor::empty(DType::kF32, shape);
    std::memset(t.view().data, 0, static_cast<size_t>(t.view().num_elements()) * 4);
    return t;
  }
  static TensorView batched(TensorView x) {
    for (int i = x.rank++; i > 0; --i) {
      const auto to = static_cast<size_t>(i);
      x.shape[to] = x.shape[to - 1];
      x.stride[to] = x.stride[to - 1];
    }
    x.shape[0] = 1;
    return x;
  }
  static void append(const TensorView& x, std::vector<char>& to) {
    const auto bytes = static_cast<size_t>(x.dim(2) * size_bytes(x.dtype));
    for (int64_t row = 0; row < x.dim(0); ++row)
      for (int64_t head = 0; head < x.dim(1); ++head) {
        const char* from = static_cast<const char*>(x.data) +
                           (row * x.step(0) + head * x.step(1)) * size_bytes(x.dtype);
        to.insert(to.end(), from, from + bytes);
      }
  }
  static TensorView whole(std::vector<char>& rows, const TensorView& like) {
    const int64_t row = like.dim(1) * like.dim(2) * size_bytes(like.dtype);
    return contiguous(rows.data(), like.dtype,
                      {1, static_cast<int64_t>(rows.size()) / row, like.dim(1), like.dim(2)});
  }

  std::map<int32_t, Keys> keys_;
  std::map<int32_t, State> states_;
};

}  // namespace attend::testing
