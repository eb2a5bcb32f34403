#pragma once
#include "strategies/engine/models/step.h"
#include "strategies/engine/models/weights.h"

namespace attend::engine {

// down(silu(gate(x)) * up(x)), gate and up by one product.
class Mlp {
 public:
  // The weights under <name>: gate_proj, up_proj, down_proj.
  Mlp(const LayerSource& source, const std::string& name, int64_t width, bool bias);
  // Of gate and up [2 width, hidden] and down [hidden, width] as they are.
  Mlp(const Linear::Part& gate_up, const Linear::Part& down, DType compute);

  // y = mlp(x)
  void run(const Step& step, const TensorView& x, const TensorView& y) const;
  // residual += mlp(x)
  void forward(const Step& step, const TensorView& x, const TensorView& residual) const;
  uint64_t weight_bytes() const { return gate_up_.weight_bytes() + down_.weight_bytes(); }

 private:
  Linear gate_up_, down_;
};

}  // namespace attend::engine
