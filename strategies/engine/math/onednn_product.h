#pragma once
#include <cstdint>
#include <memory>

#include "attend/tensor.h"

namespace attend::engine {

// What one of oneDNN's matmul primitives is made for: some rows times one slice of a Linear's
// outputs, by one thread. Rows of x and y are dense, without which 3.2 has nothing but its reference.
struct SliceShape {
  DType dtype = DType::kF32;  // kF32 or kBF16, of x and weights
  int64_t rows = 0, in = 0, columns = 0;

  auto operator<=>(const SliceShape&) const = default;
};

// A primitive that reads packed weights where they lie. Any number of threads may run it at once;
// none is started.
class OneDnnSlice {
 public:
  // Made once for a shape and kept; null where oneDNN is not at hand or has nothing fast for these
  // weights on this machine.
  static std::shared_ptr<const OneDnnSlice> find(const SliceShape& shape);

  virtual ~OneDnnSlice() = default;
  // y [rows, columns] of f32 = x [rows, in] times whole panels, as PackedWeights has them. False
  // where oneDNN refused; y then holds anything.
  virtual bool run(const void* x, const float* weights, float* y) const = 0;
};

}  // namespace attend::engine
