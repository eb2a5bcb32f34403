#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "attend/tensor.h"

namespace attend::engine {

// y = x W^T + b, the weights packed once for this machine.
//
// Products are of f32 or, rounded to it, of bf16; sums are f32 either way. Rows of a batch do not
// change each other's bits; with `batch_invariant` neither does their number, nor a row's place: all
// rows then go through the own kernels, and none through oneDNN, which takes 8 or more of them at
// once faster.
class Linear {
 public:
  // One checkpoint tensor and, where the layer has one, its bias.
  struct Part {
    TensorView weight;  // [out, in], f32, f16 or bf16, native, rows contiguous
    TensorView bias;    // [out] or absent
  };

  Linear();
  // Several projections of the same rows as one product: their outputs lie side by side.
  //   compute  kF32 or kBF16
  //   errors   kInvalidArgument if widths differ; kOutOfMemory
  Linear(std::span<const Part> parts, DType compute);
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;
  ~Linear();

  int64_t in() const noexcept;
  int64_t out() const noexcept;
  uint64_t weight_bytes() const noexcept;  // what one pass over the packed weights reads

  // x  f32 [rows, in], y  f32 [rows, out]; rows of any stride, elements contiguous; no overlap
  void run(const TensorView& x, const TensorView& y, bool batch_invariant = false) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

}  // namespace attend::engine
