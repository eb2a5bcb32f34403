#pragma once
#include "ops/common/portable.h"

namespace attend {

// The running state of one query row: m = largest score so far, l = sum of exp(score - m). An empty
// row has m = -inf and l = 0; its output is 0 and its lse -inf, never NaN.
struct OnlineSoftmax {
  float m = -math::kInfinity, l = 0.0f;

  // Admits scores whose largest is top; returns the factor for what was accumulated before.
  ATTEND_HD float admit(float top) {
    const float m_new = math::max(m, top);
    const float factor =
        m_new == -math::kInfinity ? 1.0f : math::exp(m - m_new);  // m = -inf gives 0
    m = m_new;
    l *= factor;
    return factor;
  }
  // The base that scores are taken from: finite, so that -inf - base is -inf and never NaN.
  ATTEND_HD float base() const { return m == -math::kInfinity ? 0.0f : m; }
  // A logit without a value row; returns the factor for what was accumulated before.
  ATTEND_HD float admit_sink(float logit) {
    const float factor = admit(logit);
    if (logit != -math::kInfinity) l += math::exp(logit - m);
    return factor;
  }
  // NaN stays NaN: only a sum that is exactly zero means an empty row.
  ATTEND_HD float inverse_sum() const { return l == 0.0f ? 0.0f : 1.0f / l; }
  ATTEND_HD float lse() const { return l == 0.0f ? -math::kInfinity : m + math::log(l); }
};

// Joins partial results over disjoint keys: out = a * factor_a + b * factor_b. An empty part has
// lse -inf.
struct MergeWeights {
  float factor_a, factor_b, lse;
};
ATTEND_HD MergeWeights merge_weights(float lse_a, float lse_b) {
  const float m = math::max(lse_a, lse_b);
  if (lse_a == -math::kInfinity && lse_b == -math::kInfinity)
    return {0.0f, 0.0f, m};  // and not for NaN
  const float a = math::exp(lse_a - m), b = math::exp(lse_b - m), sum = a + b;
  return {a / sum, b / sum, m + math::log(sum)};
}

}  // namespace attend
