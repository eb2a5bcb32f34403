#include "strategies/engine/models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace attend::engine {
namespace {

// base^(2i / dim): the wavelengths, over 2 pi, of the frequencies.
std::vector<float> powers(double base, int64_t dim) {
  std::vector<float> values;
  for (int64_t i = 0; i < dim; i += 2)
    values.push_back(
        std::pow(static_cast<float>(base), static_cast<float>(i) / static_cast<float>(dim)));
  return values;
}

// Long wavelengths are stretched by `factor`, short ones kept, those between mixed.
void scale_llama3(const RopeConfig& rope, std::vector<float>& inv_freq) {
  const auto length = static_cast<double>(rope.original_max_position_embeddings);
  for (float& f : inv_freq) {
    const double wavelength = 2 * std::numbers::pi / static_cast<double>(f);
    const double smooth = (length / wavelength - rope.low_freq_factor) /
                          (rope.high_freq_factor - rope.low_freq_factor);
    const double mix = std::clamp(smooth, 0.0, 1.0);
    f = static_cast<float>((1 - mix) * static_cast<double>(f) / rope.factor +
                           mix * static_cast<double>(f));
  }
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// Between the dimensions that turn beta_fast and beta_slow times within the original length, a ramp
// from the frequency as it is to the frequency over `factor`.
Rotary yarn(const RopeConfig& rope, int64_t dim) {
  const auto turning = [&](double turns) {
    const auto length = static_cast<double>(rope.original_max_position_embeddings);
    return static_cast<double>(dim) * std::log(length / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = turning(rope.beta_fast), high = turning(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  Rotary rotary{powers(rope.theta, dim)};
  for (size_t i = 0; i < rotary.inv_freq.size(); ++i) {
    const double kept = 1 / static_cast<double>(rotary.inv_freq[i]);
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    rotary.inv_freq[i] = static_cast<float>(kept / rope.factor * ramp + kept * (1 - ramp));
  }
  const bool both = rope.mscale > 0 && rope.mscale_all_dim > 0;
  rotary.scale = static_cast<float>(rope.attention_factor > 0 ? rope.attention_factor
                                    : both ? yarn_mscale(rope.factor, rope.mscale) /
                                                 yarn_mscale(rope.factor, rope.mscale_all_dim)
                                           : yarn_mscale(rope.factor, 1));
  return rotary;
}

}  // namespace

Rotary rotary_of(const ModelConfig& config, int64_t seqlen) {
  const RopeConfig& rope = config.rope;
  const auto dim =
      static_cast<int64_t>(static_cast<double>(config.head_dim) * rope.partial_rotary_factor);
  if (rope.type == "yarn") return yarn(rope, dim);
  double base = rope.theta;
  if (rope.type == "dynamic" && seqlen > config.max_position_embeddings && dim > 2) {
    const double stretch =
        static_cast<double>(seqlen) / static_cast<double>(config.max_position_embeddings);
    base *= std::pow(rope.factor * stretch - (rope.factor - 1),
                     static_cast<double>(dim) / static_cast<double>(dim - 2));
  }
  Rotary rotary{powers(base, dim)};
  for (float& f : rotary.inv_freq) f = 1.0f / f;
  if (rope.type == "linear")
    for (float& f : rotary.inv_freq) f /= static_cast<float>(rope.factor);
  if (rope.type == "llama3") scale_llama3(rope, rotary.inv_freq);
  return rotary;
}

RotaryTable::RotaryTable(const ModelConfig& config) : all_(rotary_of(config)) {}

std::span<const RotaryRows> RotaryTable::rows(const ModelConfig& config,
                                              std::span<const int32_t> positions) {
  const auto count = static_cast<int64_t>(positions.size());
  rows_.clear();
  longer_.clear();
  longer_.reserve(positions.size());  // rows_ points into it
  const auto beyond = [&](int64_t i) {
    return config.rope.type == "dynamic" &&
           positions[static_cast<size_t>(i)] >= config.max_position_embeddings;
  };
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    end = begin + 1;
    const Rotary* rotary = &all_;
    if (beyond(begin)) {
      longer_.push_back(rotary_of(config, int64_t{positions[static_cast<size_t>(begin)]} + 1));
      rotary = &longer_.back();
    } else {
      while (end < count && !beyond(end)) ++end;
    }
    rows_.push_back({begin, end, rotary});
  }
  return rows_;
}

}  // namespace attend::engine
