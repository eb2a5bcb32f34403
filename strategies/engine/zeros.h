#pragma once
#include "attend/tensor.h"

namespace attend::engine {

// All elements become 0, any strides; native memory.
void set_zero(const TensorView& t);

}  // namespace attend::engine
