#pragma once
#include "attend/export.h"
#include "attend/tensor.h"

// Exchange with other frameworks over DLPack (the C struct of dlpack.h, which this header does not
// include).
struct DLManagedTensor;

namespace attend {

// A view of a tensor that another library owns; nothing is copied and ownership stays where it is.
//   shapes   any rank up to kMaxRank; absent strides mean row-major
//   errors   kInvalidArgument for an element type, device or rank that attend does not know
//   source   DLPack 0.6 and later (github.com/dmlc/dlpack)
ATTEND_API TensorView from_dlpack(const DLManagedTensor& tensor);

// Takes the tensor over: its deleter runs when the result goes.
//   errors   as from_dlpack; on error the caller still owns the tensor
ATTEND_API Tensor adopt_dlpack(DLManagedTensor* tensor);

// Hands ownership to the consumer, who calls the result's deleter exactly once.
ATTEND_API DLManagedTensor* to_dlpack(Tensor&& tensor);

}  // namespace attend
