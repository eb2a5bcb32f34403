#include "strategies/engine/kv_pool.h"

#include <string>

#include "attend/error.h"

namespace attend::engine {

KvPool::KvPool(const std::vector<Layer>& layers, int64_t num_pages, int64_t page_size, DType dtype,
               Device device)
    : num_pages_(num_pages), page_size_(page_size), k_(layers.size()), v_(layers.size()) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& l = layers[i];
    if (l.kv_heads == 0) continue;
    k_[i] = Tensor::empty(dtype, {num_pages, page_size, l.kv_heads, l.head_dim}, device);
    v_[i] = Tensor::empty(dtype, {num_pages, page_size, l.kv_heads, l.v_dim}, device);
  }
}

uint64_t KvPool::bytes_per_token(const std::vector<Layer>& layers, DType dtype) {
  int64_t elements = 0;
  for (const Layer& l : layers) elements += l.kv_heads * (l.head_dim + l.v_dim);
  return static_cast<uint64_t>(elements * size_bytes(dtype));
}

const TensorView& KvPool::of(const std::vector<Tensor>& tensors, int32_t layer) const {
  if (layer < 0 || layer >= static_cast<int32_t>(tensors.size()) ||
      !tensors[static_cast<size_t>(layer)].view())
    throw Error(ErrorCode::kInvalidArgument,
                "KV pool: layer_id is " + std::to_string(layer) + ", expected one of the " +
                    std::to_string(tensors.size()) + " layers that keeps keys");
  return tensors[static_cast<size_t>(layer)].view();
}

const TensorView& KvPool::k(int32_t layer) const { return of(k_, layer); }
const TensorView& KvPool::v(int32_t layer) const { return of(v_, layer); }

}  // namespace attend::engine
