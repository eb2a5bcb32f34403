#pragma once
#include <optional>
#include <vector>

#include "strategies/engine/models/mlp.h"

namespace attend::engine {

// A mixture of experts: a router gives each row its num_experts_per_tok best experts and their
// weights; where the family has one, a shared expert with a gate of its own is added.
class Moe {
 public:
  explicit Moe(const LayerSource& source);
  // residual += moe(x)
  void forward(const Step& step, const TensorView& x, const TensorView& residual) const;
  uint64_t weight_bytes() const;  // of what one row reads: router, its experts, the shared one

 private:
  void route(const TensorView& scores, Workspace& space) const;

  int64_t experts_ = 0, chosen_ = 0;
  bool norm_topk_ = true;
  Linear router_;  // scores of the experts and, behind them, the shared expert's gate; in f32
  std::vector<Mlp> expert_;
  std::optional<Mlp> shared_;
};

}  // namespace attend::engine
