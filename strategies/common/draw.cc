#include "strategies/common/draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace attend::engine {
namespace {

// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), the mixing of SplitMix64.
uint64_t mix(uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

double uniform(uint64_t seed, uint64_t position) noexcept {
  return static_cast<double>(mix(mix(seed) ^ position) >> 11) * 0x1p-53;
}

int32_t greedy(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

int32_t draw(const std::vector<float>& logits, const SamplingParams& params, double u) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const bool by_rank = params.top_k > 0 || params.top_p < 1;
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < ids.size()) {
    std::nth_element(ids.begin(), ids.begin() + params.top_k, ids.end(), likelier);
    ids.resize(static_cast<size_t>(params.top_k));
  }
  if (by_rank) std::sort(ids.begin(), ids.end(), likelier);

  std::vector<double> weights(ids.size());
  double total = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const double logit = logits[static_cast<size_t>(ids[i])];
    total += weights[i] = std::exp((logit - highest) / params.temperature);
  }
  if (params.top_p < 1) {  // the first whose shares reach p stays
    double sum = 0;
    size_t kept = 0;
    while (kept < ids.size() && sum < params.top_p * total) sum += weights[kept++];
    std::fill(weights.begin() + static_cast<std::ptrdiff_t>(kept), weights.end(), 0.0);
    total = sum;
  }
  if (params.min_p > 0) {  // the likeliest weighs 1
    total = 0;
    for (double& w : weights) total += w = w < params.min_p ? 0 : w;
  }
  double left = u * total;
  size_t last = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (weights[i] == 0) continue;
    last = i;
    if ((left -= weights[i]) < 0) break;
  }
  return ids[last];
}

}  // namespace attend::engine
