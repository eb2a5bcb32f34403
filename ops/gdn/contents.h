#pragma once
#include <bit>

#include "ops/common/index_check.h"
#include "ops/gdn/shape.h"

// What the slots and gates of a gdn call must hold (contract 5 and 6): native asks before a call,
// devices in kernels of their own.
namespace attend {

// The states whose slots state_indices counts.
ATTEND_HD const TensorView& gdn_pool(const GdnArgs& a) {
  return a.state ? a.state : a.final_state ? a.final_state : a.conv_state;
}

// Of sequence b: its slot is one of the pool's.
ATTEND_HD ErrorWord bad_state_slot(const GdnArgs& a, int64_t b) {
  const int64_t slot = index_at(a.state_indices, b), slots = gdn_pool(a).dim(0);
  if (slot >= 0 && slot < slots) return {};
  return bad_index(ErrorCode::kOutOfRange, ErrorArgument::kStateIndices, b, slot,
                   ErrorRule::kStateSlot, slots);
}

// One of g, alpha and beta: f32 [.., heads] or [.., heads, inner]. Rows are counted over the whole
// tensor.
class GdnGate {
 public:
  ATTEND_HD GdnGate(const TensorView& t, const GdnShape& shape, ErrorArgument argument,
                    ErrorRule rule)
      : t_(t), argument_(argument), rule_(rule), rows_(shape.ragged ? 0 : shape.rows) {
    if (!t) return;
    const int head = shape.ragged ? 1 : 2;
    heads_ = t.dim(head);
    inner_ = t.rank > head + 1 ? t.dim(-1) : 1;
    row_step_ = t.step(head - 1);
    head_step_ = t.step(head);
    inner_step_ = t.rank > head + 1 ? t.step(-1) : 0;
  }
  ATTEND_HD int64_t heads() const { return heads_; }  // 0 where the gate is absent
  ATTEND_HD int64_t inner() const { return inner_; }

  ATTEND_HD const float* row(int64_t row) const {
    const int64_t from =
        rows_ == 0 ? row * row_step_ : row / rows_ * t_.stride[0] + row % rows_ * row_step_;
    return static_cast<const float*>(t_.data) + from;
  }
  ATTEND_HD float at(const float* row, int64_t head, int64_t i) const {
    return row[head * head_step_ + i * inner_step_];
  }
  ATTEND_HD bool good(float x) const {
    if (rule_ == ErrorRule::kLogDecay) return x <= 0.0f;
    if (rule_ == ErrorRule::kLinearDecay) return x > 0.0f && x <= 1.0f;
    return x >= 0.0f && x <= 2.0f;
  }
  ATTEND_HD ErrorWord word(int64_t n, int64_t head, int64_t i) const {
    const auto bits = std::bit_cast<int32_t>(at(row(n), head, i));
    ErrorWord word =
        bad_index(ErrorCode::kOutOfRange, argument_, (n * heads_ + head) * inner_ + i, bits, rule_);
    word.inner[0] = t_.shape[1];  // by constants, or the word would lie in local memory
    word.inner[1] = t_.rank > 2 ? t_.shape[2] : 0;
    word.inner[2] = t_.rank > 3 ? t_.shape[3] : 0;
    return word;
  }

 private:
  const TensorView& t_;
  ErrorArgument argument_;
  ErrorRule rule_;
  int64_t rows_ = 0;  // of a sequence; 0 = packed
  int64_t heads_ = 0, inner_ = 1;
  int64_t row_step_ = 0, head_step_ = 0, inner_step_ = 0;
};

// The decay as it is given, if it is.
ATTEND_HD GdnGate gdn_decay_gate(const GdnArgs& a, const GdnShape& shape) {
  return a.alpha ? GdnGate(a.alpha, shape, ErrorArgument::kAlpha, ErrorRule::kLinearDecay)
                 : GdnGate(a.g, shape, ErrorArgument::kG, ErrorRule::kLogDecay);
}
ATTEND_HD GdnGate gdn_beta_gate(const GdnArgs& a, const GdnShape& shape) {
  return {a.beta, shape, ErrorArgument::kBeta, ErrorRule::kBetaRange};
}

}  // namespace attend
