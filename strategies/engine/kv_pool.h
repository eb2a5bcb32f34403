#pragma once
#include <cstdint>
#include <vector>

#include "attend/tensor.h"

namespace attend::engine {

// The pages of every layer: k [pages, page_size, kv_heads, head_dim], v likewise with v_dim. Page ids are
// those of KvCacheManager, the same in all layers.
class KvPool {
 public:
  // What one layer keeps; a layer without attention keeps nothing (kv_heads = 0).
  struct Layer {
    int64_t kv_heads = 0, head_dim = 0, v_dim = 0;
  };

  //   errors   kOutOfMemory
  KvPool(const std::vector<Layer>& layers, int64_t num_pages, int64_t page_size, DType dtype,
         Device device);

  static uint64_t bytes_per_token(const std::vector<Layer>& layers, DType dtype);

  //   errors   kInvalidArgument for a layer without a cache
  const TensorView& k(int32_t layer) const;
  const TensorView& v(int32_t layer) const;
  int64_t num_pages() const noexcept { return num_pages_; }
  int64_t page_size() const noexcept { return page_size_; }

 private:
  const TensorView& of(const std::vector<Tensor>& tensors, int32_t layer) const;

  int64_t num_pages_, page_size_;
  std::vector<Tensor> k_, v_;
};

}  // namespace attend::engine
