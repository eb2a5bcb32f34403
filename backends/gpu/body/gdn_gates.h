#pragma once
// Decays and betas of a run of tokens, as given or from their gates.
#include "backends/gpu/body/gdn_head.h"

namespace attend::gpu {

// In shared memory, an entry a token. Sums of logarithms are f64: differences of them are decays.
struct GdnGates {
  double log_decay[kGdnTile];  // natural logarithm of each token's decay
  double sum[kGdnTile];        // of those up to and with this token
  float beta[kGdnTile];
  float since[kGdnTile];  // exp(sum): the decay since before the run
  float until[kGdnTile];  // the decay of later tokens of the run
};

// exp(x) - 1 of x <= 0: a Taylor sum to x^8 above -1/2, where the difference would cancel: 1e-8.
ATTEND_DEVICE float gdn_expm1(float x) {
  if (!(x > -0.5f)) return math::exp(x) - 1.0f;
  float p = 1.0f / 40320;
  p = p * x + 1.0f / 5040;
  p = p * x + 1.0f / 720;
  p = p * x + 1.0f / 120;
  p = p * x + 1.0f / 24;
  p = p * x + 1.0f / 6;
  p = p * x + 0.5f;
  p = p * x + 1.0f;
  return p * x;
}

ATTEND_DEVICE float gdn_sigmoid(float x) { return 1.0f / (1.0f + math::exp(-x)); }

// log(1 + exp(x)). The quotient undoes what rounding 1 + y did to y.
ATTEND_DEVICE float gdn_softplus(float x) {
  const float y = math::exp(x > 0.0f ? -x : x), one_more = 1.0f + y;
  const float small = one_more == 1.0f ? y : math::log(one_more) * (y / (one_more - 1.0f));
  return x > 0.0f ? x + small : small;
}

// Of token i. Below -1e4 every decay is 0; the bound keeps sums and their differences finite.
ATTEND_DEVICE double gdn_log_decay(const GdnHead& h, int64_t i) {
  const float x = element_at(h.rows[GdnCall::kDecay], i, 0);
  double g = x;
  if (h.decay_from == GdnDecayFrom::kLinear) g = math::log(x);
  if (h.decay_from == GdnDecayFrom::kGate)
    g = -static_cast<double>(h.rate) * gdn_softplus(x + h.bias);
  return g < -1e4 ? -1e4 : g;
}

ATTEND_DEVICE float gdn_beta(const GdnHead& h, int64_t i) {
  const float x = element_at(h.rows[GdnCall::kBeta], i, 0);
  return h.gated_beta ? gdn_sigmoid(x) : x;
}

// Tokens [first, first + n) by the first kGdnTile threads; behind them decays of 1 and betas of 0.
ATTEND_DEVICE void read_gates(Thread& x, const GdnHead& h, int64_t first, int n, GdnGates& gates) {
  const int i = x.tid();
  if (i >= kGdnTile) return;
  gates.log_decay[i] = i < n && !h.per_channel() ? gdn_log_decay(h, first + i) : 0.0;
  gates.beta[i] = i < n ? gdn_beta(h, first + i) : 0.0f;
}

// When all of them are there.
ATTEND_DEVICE void sum_gates(Thread& x, GdnGates& gates) {
  const int i = x.tid();
  if (i >= kGdnTile) return;
  double sum = 0.0, mine = 0.0;
#pragma unroll 1
  for (int m = 0; m < kGdnTile; ++m) {
    sum += gates.log_decay[m];
    if (m == i) mine = sum;
  }
  gates.sum[i] = mine;
  gates.since[i] = math::exp(static_cast<float>(mine));
  gates.until[i] = math::exp(static_cast<float>(sum - mine));
}

}  // namespace attend::gpu
