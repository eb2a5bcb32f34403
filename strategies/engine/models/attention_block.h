#pragma once
#include "strategies/engine/models/step.h"
#include "strategies/engine/models/weights.h"

namespace attend::engine {

// q, k, v of a row by one product, norm and rotation of their heads, attention through the backend,
// the gate where the family has one, and the output projection.
class AttentionBlock {
 public:
  explicit AttentionBlock(const LayerSource& source);
  // residual += block(x)
  void forward(const Step& step, const TensorView& x, const TensorView& residual) const;
  uint64_t weight_bytes() const { return qkv_.weight_bytes() + o_.weight_bytes(); }

 private:
  // In the dtype that attention computes in.
  TensorView rotated(const Step& step, const TensorView& x, const Tensor& norm,
                     Buffer& buffer) const;

  AttentionLayer layer_;
  bool gated_ = false, norm_plus_one_ = false;
  float eps_ = 0;
  Linear qkv_;  // q, k, v and the gate, one behind the other
  Linear o_;
  Tensor q_norm_, k_norm_;
};

}  // namespace attend::engine
