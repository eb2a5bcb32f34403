#pragma once
#include "strategies/engine/models/step.h"
#include "strategies/engine/models/weights.h"

namespace attend::engine {

// A gated delta layer: all projections of a row by one product, convolution, rule and gated norm
// through the backend, and the output projection. Activations stay f32 whatever products are in.
class GatedDeltaBlock {
 public:
  explicit GatedDeltaBlock(const LayerSource& source);
  // residual += block(x)
  void forward(const Step& step, const TensorView& x, const TensorView& residual) const;
  uint64_t weight_bytes() const { return in_.weight_bytes() + out_.weight_bytes(); }

 private:
  Linear in_;  // q, k, v of all heads, then z, b, a
  Linear out_;
  Tensor conv_, a_log_, dt_bias_, norm_;
  GdnLayer layer_;
};

}  // namespace attend::engine
