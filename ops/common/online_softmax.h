#pragma once
#include <cmath>

#include "ops/common/portable.h"

namespace attend {

// The running state of one query row: m = largest score so far, l = sum of exp(score - m). An empty
// row has m = -inf and l = 0; its output is 0 and its lse -inf, never NaN.
struct OnlineSoftmax {
  float m = -INFINITY, l = 0.0f;

  // Admits scores whose largest is top; returns the factor for what was accumulated before.
  ATTEND_HD float admit(float top) {
    const float m_new = fmaxf(m, top);
    const float factor = m_new == -INFINITY ? 1.0f : expf(m - m_new);  // m = -inf gives 0
    m = m_new;
    l *= factor;
    return factor;
  }
  // The base that scores are taken from: finite, so that -inf - base is -inf and never NaN.
  ATTEND_HD float base() const { return m == -INFINITY ? 0.0f : m; }
  // A logit without a value row; returns the factor for what was accumulated before.
  ATTEND_HD float admit_sink(float logit) {
    const float factor = admit(logit);
    if (logit != -INFINITY) l += expf(logit - m);
    return factor;
  }
  // NaN stays NaN: only a sum that is exactly zero means an empty row.
  ATTEND_HD float inverse_sum() const { return l == 0.0f ? 0.0f : 1.0f / l; }
  ATTEND_HD float lse() const { return l == 0.0f ? -INFINITY : m + logf(l); }
};

// Joins partial results over disjoint keys: out = a * factor_a + b * factor_b. An empty part has
// lse -inf.
struct MergeWeights {
  float factor_a, factor_b, lse;
};
ATTEND_HD MergeWeights merge_weights(float lse_a, float lse_b) {
  const float m = fmaxf(lse_a, lse_b);
  if (lse_a == -INFINITY && lse_b == -INFINITY) return {0.0f, 0.0f, m};  // and not for NaN
  const float a = expf(lse_a - m), b = expf(lse_b - m), sum = a + b;
  return {a / sum, b / sum, m + logf(sum)};
}

}  // namespace attend
