#pragma once
#include "attend/c_api.h"
#include "attend/tensor.h"

namespace attend::c_api {

//   errors   kInvalidArgument for a dtype, device or rank that does not exist; argument is the
//            tensor's name in the message
TensorView view_of(const char* where, const attend_tensor& tensor, const char* argument = "tensor");

}  // namespace attend::c_api
