#pragma once
#include "attend/tensor.h"
#include "strategies/engine/math/isa/math_ops.h"

namespace attend::engine {

// Those of the best instruction set that this machine has and ATTEND_ISA allows; chosen once.
//   errors   kInvalidArgument if ATTEND_ISA is no word of this library
const MathOps& math_ops();

// kF32, kF16 or kBF16, which the caller has checked.
inline Elem elem_of(DType dtype) {
  return dtype == DType::kF32 ? Elem::kF32 : dtype == DType::kF16 ? Elem::kF16 : Elem::kBF16;
}
inline bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace attend::engine
