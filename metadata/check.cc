#include "metadata/check.h"

namespace attend::metadata {
namespace {

void check_rank(const char* field, const TensorView& t, int rank) {
  if (t.rank != rank)
    refuse(std::string(field) + " rank is " + std::to_string(t.rank) + ", expected " +
           std::to_string(rank));
}

}  // namespace

void check_index(const char* field, const TensorView& t, int rank) {
  if (!t) return;
  check_rank(field, t, rank);
  if (t.dtype != DType::kI32 && t.dtype != DType::kI64)
    refuse(std::string(field) + " dtype is " + name(t.dtype) + ", expected i32 or i64");
}

void check_dtype(const char* field, const TensorView& t, DType dtype, int rank) {
  if (!t) return;
  check_rank(field, t, rank);
  if (t.dtype != dtype)
    refuse(std::string(field) + " dtype is " + name(t.dtype) + ", expected " + name(dtype));
}

void check_count(const char* field, const TensorView& t, int64_t want, const std::string& why) {
  if (t && t.dim(0) != want)
    refuse(std::string(field) + " dim 0 is " + std::to_string(t.dim(0)) + ", expected " +
           std::to_string(want) + why);
}

int64_t num_requests(const TensorView& cu_seqlens_q) {
  return cu_seqlens_q ? cu_seqlens_q.dim(0) - 1 : -1;
}

void check_per_request(const char* field, const TensorView& t, const TensorView& cu_seqlens_q) {
  check_index(field, t, 1);
  if (const int64_t n = num_requests(cu_seqlens_q); n >= 0)
    check_count(field, t, n, " (cu_seqlens_q tells " + std::to_string(n) + " requests)");
}

}  // namespace attend::metadata
