#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "strategies/engine/math/elementwise.h"
#include "strategies/engine/models/config.h"

namespace attend::engine {

// Frequencies and scale of the rotary embedding, in f32 by the steps of transformers.
//   seqlen  of type "dynamic": the sequence's length, where it exceeds the model's
Rotary rotary_of(const ModelConfig& config, int64_t seqlen = 0);

// Rows of a step that share frequencies.
struct RotaryRows {
  int64_t begin = 0, end = 0;
  const Rotary* rotary = nullptr;
};

// The frequencies of a step's rows. All but "dynamic" have one set; there a row beyond the model's
// length has the frequencies of a sequence that ends with it, whatever else is in the batch: a
// prompt read in chunks or at once gives the same. transformers rotates a whole prompt by its end,
// and each token that follows as here.
class RotaryTable {
 public:
  explicit RotaryTable(const ModelConfig& config);
  std::span<const RotaryRows> rows(const ModelConfig& config, std::span<const int32_t> positions);

 private:
  Rotary all_;
  std::vector<Rotary> longer_;  // one a row that is beyond the model's length
  std::vector<RotaryRows> rows_;
};

}  // namespace attend::engine
