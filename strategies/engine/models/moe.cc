#include "strategies/engine/models/moe.h"

#include <cmath>
#include <numeric>

#include "attend/parallel.h"

namespace attend::engine {
namespace {

Linear router(const LayerSource& from) {
  const ModelConfig& c = from.config;
  std::vector<Linear::Part> parts{
      from.projection(from.name("mlp.gate"), c.moe.num_experts, c.hidden_size)};
  if (c.moe.shared_intermediate_size > 0)
    parts.push_back(from.projection(from.name("mlp.shared_expert_gate"), 1, c.hidden_size));
  return Linear(parts, DType::kF32);
}

// One expert of tensors that hold all: [experts, out, in].
Linear::Part expert_of(const TensorView& all, int64_t expert) {
  TensorView one = rows_of(all, expert, 1);
  one.rank = 2;
  one.shape = {all.dim(1), all.dim(2)};
  one.stride = {all.step(1), all.step(2)};
  return {one, {}};
}

// residual[rows[i]] += weights[i] * x[i], no row twice.
void add_weighted_rows(const TensorView& x, const int32_t* rows, const float* weights,
                       const TensorView& residual) {
  parallel_for(x.dim(0), [&](int64_t i, int32_t) {
    const float* from = static_cast<const float*>(x.data) + i * x.step(0);
    float* to = static_cast<float*>(residual.data) + rows[i] * residual.step(0);
    for (int64_t c = 0; c < x.dim(1); ++c) to[c] += weights[i] * from[c];
  });
}

}  // namespace

Moe::Moe(const LayerSource& from)
    : experts_(from.config.moe.num_experts),
      chosen_(from.config.moe.num_experts_per_tok),
      norm_topk_(from.config.moe.norm_topk_prob),
      router_(router(from)) {
  const MoeConfig& moe = from.config.moe;
  const int64_t hidden = from.config.hidden_size, width = moe.intermediate_size;
  const std::string name = from.name("mlp.experts.");
  const bool together = from.weights.has(name + "gate_up_proj");
  for (int64_t e = 0; e < experts_; ++e) {
    if (together) {
      const TensorView gate_up =
          from.weights.tensor(name + "gate_up_proj", {experts_, 2 * width, hidden});
      const TensorView down = from.weights.tensor(name + "down_proj", {experts_, hidden, width});
      expert_.emplace_back(expert_of(gate_up, e), expert_of(down, e), from.compute);
    } else {
      expert_.emplace_back(from, name + std::to_string(e), width, false);
    }
  }
  if (moe.shared_intermediate_size > 0)
    shared_.emplace(from, from.name("mlp.shared_expert"), moe.shared_intermediate_size, false);
}

uint64_t Moe::weight_bytes() const {
  return router_.weight_bytes() + expert_[0].weight_bytes() * static_cast<uint64_t>(chosen_) +
         (shared_ ? shared_->weight_bytes() : 0);
}

// Softmax over the experts, the best of each row (of equals the first) and their weights; then the
// rows of each expert, ascending, one expert behind the other.
void Moe::route(const TensorView& scores, Workspace& space) const {
  const int64_t rows = scores.dim(0);
  space.chosen.resize(static_cast<size_t>(rows * chosen_));
  space.chosen_weights.resize(space.chosen.size());
  parallel_for(rows, [&](int64_t row, int32_t) {
    float* s = static_cast<float*>(scores.data) + row * scores.step(0);
    const float most = *std::max_element(s, s + experts_);
    float sum = 0, kept = 0;
    for (int64_t e = 0; e < experts_; ++e) sum += s[e] = std::exp(s[e] - most);
    int32_t* best = space.chosen.data() + row * chosen_;
    float* weight = space.chosen_weights.data() + row * chosen_;
    for (int64_t n = 0; n < chosen_; ++n) {
      best[n] = static_cast<int32_t>(std::max_element(s, s + experts_) - s);
      kept += weight[n] = s[best[n]];
      s[best[n]] = -1;
    }
    for (int64_t n = 0; n < chosen_; ++n) weight[n] /= norm_topk_ ? kept : sum;
  });

  auto& first = space.expert_first;
  first.assign(static_cast<size_t>(experts_) + 1, 0);
  for (const int32_t e : space.chosen) ++first[static_cast<size_t>(e)];
  std::partial_sum(first.begin(), first.end(), first.begin());
  space.expert_rows.resize(space.chosen.size());
  space.expert_weights.resize(space.chosen.size());
  for (size_t i = space.chosen.size(); i-- > 0;) {  // turns each expert's end into its beginning
    const auto at = static_cast<size_t>(--first[static_cast<size_t>(space.chosen[i])]);
    space.expert_rows[at] = static_cast<int32_t>(i / static_cast<size_t>(chosen_));
    space.expert_weights[at] = space.chosen_weights[i];
  }
}

void Moe::forward(const Step& step, const TensorView& x, const TensorView& residual) const {
  Workspace& space = step.workspace;
  const TensorView scores = space.scores.get(x.dim(0), router_.out());
  router_.run(x, scores, step.batch_invariant);
  route(scores, space);
  for (int64_t e = 0; e < experts_; ++e) {
    const auto n = static_cast<size_t>(e);
    const int32_t begin = space.expert_first[n], end = space.expert_first[n + 1];
    if (begin == end) continue;
    const auto count = static_cast<size_t>(end - begin);
    const int32_t* rows = space.expert_rows.data() + begin;
    const TensorView routed = space.routed.get(end - begin, x.dim(1));
    gather_rows(x, {rows, count}, routed);
    const TensorView added = space.added.get(end - begin, x.dim(1));
    expert_[n].run(step, routed, added);
    add_weighted_rows(added, rows, space.expert_weights.data() + begin, residual);
  }
  if (!shared_) return;
  const TensorView added = space.added.get(x.dim(0), x.dim(1));
  shared_->run(step, x, added);
  space.expert_rows.resize(static_cast<size_t>(x.dim(0)));
  space.expert_weights.resize(static_cast<size_t>(x.dim(0)));
  for (int64_t row = 0; row < x.dim(0); ++row) {
    const float gate = static_cast<const float*>(scores.data)[row * scores.step(0) + experts_];
    space.expert_rows[static_cast<size_t>(row)] = static_cast<int32_t>(row);
    space.expert_weights[static_cast<size_t>(row)] = 1 / (1 + std::exp(-gate));
  }
  add_weighted_rows(added, space.expert_rows.data(), space.expert_weights.data(), residual);
}

}  // namespace attend::engine
