#include "strategies/engine/models/mlp.h"

namespace attend::engine {
namespace {

Linear gate_and_up(const LayerSource& from, const std::string& name, int64_t width, bool bias) {
  const Linear::Part parts[] = {
      from.projection(name + ".gate_proj", width, from.config.hidden_size, bias),
      from.projection(name + ".up_proj", width, from.config.hidden_size, bias)};
  return Linear(parts, from.compute);
}

Linear single(const Linear::Part& part, DType compute) { return Linear({&part, 1}, compute); }

}  // namespace

Mlp::Mlp(const LayerSource& from, const std::string& name, int64_t width, bool bias)
    : gate_up_(gate_and_up(from, name, width, bias)),
      down_(single(from.projection(name + ".down_proj", from.config.hidden_size, width, bias),
                   from.compute)) {}

Mlp::Mlp(const Linear::Part& gate_up, const Linear::Part& down, DType compute)
    : gate_up_(single(gate_up, compute)), down_(single(down, compute)) {}

void Mlp::run(const Step& step, const TensorView& x, const TensorView& y) const {
  const TensorView both = step.workspace.projected.get(x.dim(0), gate_up_.out());
  gate_up_.run(x, both, step.batch_invariant);
  const TensorView product = step.workspace.mixed.get(x.dim(0), down_.in());
  silu_mul(both, product);
  down_.run(product, y, step.batch_invariant);
}

void Mlp::forward(const Step& step, const TensorView& x, const TensorView& residual) const {
  const TensorView added = step.workspace.added.get(x.dim(0), down_.out());
  run(step, x, added);
  add_to(added, residual);
}

}  // namespace attend::engine
