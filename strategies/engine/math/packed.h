#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attend/tensor.h"
#include "strategies/engine/math/isa/math_ops.h"
#include "strategies/engine/math/linear.h"

namespace attend::engine {

// Memory for what is read from one end to the other: in huge pages, where the system has them to
// give and there is enough to fill one. On 4 KiB pages a Zen 5 core reads a quarter less a second.
class PanelMemory {
 public:
  PanelMemory() = default;
  explicit PanelMemory(uint64_t bytes);  // uninitialised; kOutOfMemory

  float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* p) const;
  };
  std::unique_ptr<float, Free> data_;
};

// The weights of a Linear in panels of kPanel outputs: [panel][word][output of the panel], a word
// being one f32, or two bf16 of neighbouring inputs, the lower one in the lower half. Words are
// padded to a multiple of 16 and outputs to whole panels, with zeros: what oneDNN calls BA16a64b and
// BA16a64b2a, so that its products and the own ones read the same copy.
struct PackedWeights {
  DType dtype = DType::kF32;
  int64_t in = 0, out = 0;
  int64_t words = 0;         // that hold inputs
  int64_t padded_words = 0;  // of a panel
  int64_t panels = 0;
  PanelMemory memory;
  PanelMemory bias;  // [panels * kPanel], or none

  PackedWeights() = default;
  PackedWeights(std::span<const Linear::Part> parts, DType dtype);  // checked

  uint64_t bytes() const {
    return static_cast<uint64_t>(panels * padded_words * kPanel) * sizeof(float);
  }
  const float* panel(int64_t p) const { return memory.data() + p * padded_words * kPanel; }
  const float* bias_of(int64_t p) const {
    return bias.data() != nullptr ? bias.data() + p * kPanel : nullptr;
  }
};

}  // namespace attend::engine
