#pragma once
#include <optional>

#include "attend/tensor.h"

namespace attend {

// ATTEND_DEVICE: where forward() goes, whatever device the tensors name. Read once.
//   errors   kInvalidArgument, on every call, while the variable holds an unknown word
std::optional<DeviceType> device_override();

}  // namespace attend
