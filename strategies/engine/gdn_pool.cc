#include "strategies/engine/gdn_pool.h"

#include <cstring>
#include <string>

#include "attend/error.h"

namespace attend::engine {
namespace {

void zero_slot(const TensorView& pool, int32_t slot) {
  if (!pool) return;
  const auto bytes = static_cast<size_t>(pool.step(0) * size_bytes(pool.dtype));
  std::memset(static_cast<char*>(pool.data) + static_cast<size_t>(slot) * bytes, 0, bytes);
}

const TensorView& of(const std::vector<Tensor>& tensors, int32_t layer) {
  if (layer < 0 || layer >= static_cast<int32_t>(tensors.size()) ||
      !tensors[static_cast<size_t>(layer)].view())
    throw Error(ErrorCode::kInvalidArgument, "gdn pool: layer_id is " + std::to_string(layer) +
                                                 ", expected one of the gated delta layers of " +
                                                 std::to_string(tensors.size()));
  return tensors[static_cast<size_t>(layer)].view();
}

}  // namespace

GdnPool::GdnPool(const std::vector<Layer>& layers, int64_t num_requests, DType conv_dtype)
    : state_(layers.size()), conv_state_(layers.size()) {
  const int64_t slots = num_requests + 1;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& l = layers[i];
    if (l.heads == 0) continue;
    state_[i] = Tensor::empty(DType::kF32, {slots, l.heads, l.v_dim, l.k_dim});
    zero_slot(state_[i], kPaddingSlot);
    if (l.taps < 2) continue;
    conv_state_[i] = Tensor::empty(conv_dtype, {slots, l.channels, l.taps - 1});
    zero_slot(conv_state_[i], kPaddingSlot);
  }
  for (auto slot = static_cast<int32_t>(num_requests); slot > 0; --slot) free_.push_back(slot);
}

int32_t GdnPool::take() {
  if (free_.empty()) return -1;
  const int32_t slot = free_.back();
  free_.pop_back();
  for (const Tensor& pool : state_) zero_slot(pool, slot);
  for (const Tensor& pool : conv_state_) zero_slot(pool, slot);
  return slot;
}

void GdnPool::give_back(int32_t slot) { free_.push_back(slot); }

const TensorView& GdnPool::state(int32_t layer) const { return of(state_, layer); }
const TensorView& GdnPool::conv_state(int32_t layer) const { return of(conv_state_, layer); }

}  // namespace attend::engine
