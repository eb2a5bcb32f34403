#pragma once
#include "attend/tensor.h"
#include "backends/native/isa/tile_ops.h"

namespace attend::native {

// The name that the instruction sets' files have for an element type.
inline Elem elem_of(DType dtype) {
  switch (dtype) {
    case DType::kF16: return Elem::kF16;
    case DType::kBF16: return Elem::kBF16;
    case DType::kF8E4M3: return Elem::kF8E4M3;
    case DType::kF8E5M2: return Elem::kF8E5M2;
    case DType::kI8: return Elem::kI8;
    default: return Elem::kF32;
  }
}

}  // namespace attend::native
