#pragma once
#include <cstdint>
#include <vector>

#include "attend/tensor.h"

namespace attend::engine {

// What gated delta layers carry from step to step: a recurrent state and the last inputs of the
// convolution, one slot a request. Slot 0 belongs to nobody: padded rows of a graph share it.
class GdnPool {
 public:
  static constexpr int32_t kPaddingSlot = 0;
  struct Layer {
    int64_t heads = 0, v_dim = 0, k_dim = 0;  // heads = 0: no gated delta layer
    int64_t channels = 0, taps = 0;
  };

  //   errors   kOutOfMemory
  GdnPool(const std::vector<Layer>& layers, int64_t num_requests, DType conv_dtype);

  // A slot with states of zero; -1 when all are taken.
  int32_t take();
  void give_back(int32_t slot);
  int64_t free_slots() const noexcept { return static_cast<int64_t>(free_.size()); }

  const TensorView& state(int32_t layer) const;       // f32 [slots, heads, v_dim, k_dim]
  const TensorView& conv_state(int32_t layer) const;  // [slots, channels, taps - 1]

 private:
  std::vector<Tensor> state_, conv_state_;
  std::vector<int32_t> free_;
};

}  // namespace attend::engine
