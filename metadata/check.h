#pragma once
#include <string>

#include "attend/error.h"
#include "attend/tensor.h"

// How the metadata types check their fields.
namespace attend::metadata {

[[noreturn]] inline void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "metadata: " + what);
}

// An index tensor of this rank, where it is given.
void check_index(const char* field, const TensorView& t, int rank);
// A tensor of this dtype and rank, where it is given.
void check_dtype(const char* field, const TensorView& t, DType dtype, int rank);
// Its first dimension; `why` ends the sentence.
void check_count(const char* field, const TensorView& t, int64_t want, const std::string& why);
// How many requests cu_seqlens_q tells of; -1 without it.
int64_t num_requests(const TensorView& cu_seqlens_q);
// One entry a request, where both are given.
void check_per_request(const char* field, const TensorView& t, const TensorView& cu_seqlens_q);

}  // namespace attend::metadata
