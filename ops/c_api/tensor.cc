#include "ops/c_api/tensor.h"

#include <algorithm>
#include <limits>
#include <string>

#include "ops/c_api/errors.h"

namespace attend::c_api {
namespace {

static_assert(ATTEND_MAX_RANK == kMaxRank);
static_assert(static_cast<int>(DType::kF32) == ATTEND_F32);
static_assert(static_cast<int>(DType::kF16) == ATTEND_F16);
static_assert(static_cast<int>(DType::kBF16) == ATTEND_BF16);
static_assert(static_cast<int>(DType::kF8E4M3) == ATTEND_F8_E4M3);
static_assert(static_cast<int>(DType::kF8E5M2) == ATTEND_F8_E5M2);
static_assert(static_cast<int>(DType::kI8) == ATTEND_I8);
static_assert(static_cast<int>(DType::kI32) == ATTEND_I32);
static_assert(static_cast<int>(DType::kI64) == ATTEND_I64);
static_assert(static_cast<int>(DType::kBool) == ATTEND_BOOL);
static_assert(static_cast<int>(DeviceType::kNative) == ATTEND_NATIVE);
static_assert(static_cast<int>(DeviceType::kCuda) == ATTEND_CUDA);
static_assert(static_cast<int>(DeviceType::kRocm) == ATTEND_ROCM);

[[noreturn]] void refuse(const char* where, const char* argument, const char* property, int64_t got,
                         const char* want) {
  throw Error(ErrorCode::kInvalidArgument, std::string(where) + ": " + argument + " " + property +
                                               " is " + std::to_string(got) + ", expected " + want);
}

DType dtype_of(const char* where, const char* argument, int32_t dtype) {
  if (dtype < ATTEND_F32 || dtype > ATTEND_BOOL)
    refuse(where, argument, "dtype", dtype, "one of attend_dtype");
  return static_cast<DType>(dtype);
}

void check_rank(const char* where, const char* argument, int32_t rank) {
  if (rank < 0 || rank > kMaxRank) refuse(where, argument, "rank", rank, "0 to 5");
}

}  // namespace

TensorView view_of(const char* where, const attend_tensor& tensor, const char* argument) {
  check_rank(where, argument, tensor.rank);
  const int32_t type = tensor.device_type, index = tensor.device_index;
  if (type != ATTEND_NATIVE && type != ATTEND_CUDA && type != ATTEND_ROCM)
    refuse(where, argument, "device_type", type, "one of attend_device_type");
  if (index < 0 || index > std::numeric_limits<int16_t>::max())
    refuse(where, argument, "device_index", index, "0 to 32767");
  TensorView view;
  view.data = tensor.data;
  view.dtype = dtype_of(where, argument, tensor.dtype);
  view.rank = tensor.rank;
  view.device = {static_cast<DeviceType>(type), static_cast<int16_t>(index)};
  std::copy_n(tensor.shape, tensor.rank, view.shape.begin());
  std::copy_n(tensor.strides, tensor.rank, view.stride.begin());
  return view;
}

}  // namespace attend::c_api

extern "C" attend_error_code attend_contiguous(attend_tensor* tensor, void* data, int32_t dtype,
                                               int32_t rank, const int64_t* shape) {
  using namespace attend;
  constexpr const char* kWhere = "attend_contiguous";
  return c_api::guarded([&] {
    c_api::given(kWhere, "tensor", tensor);
    c_api::check_rank(kWhere, "tensor", rank);
    if (rank > 0) c_api::given(kWhere, "shape", shape);
    const TensorView view = contiguous(data, c_api::dtype_of(kWhere, "tensor", dtype),
                                       std::span<const int64_t>(shape, static_cast<size_t>(rank)));
    *tensor = {view.data, dtype, ATTEND_NATIVE, 0, rank, {}, {}};
    std::copy_n(view.shape.begin(), rank, tensor->shape);
    std::copy_n(view.stride.begin(), rank, tensor->strides);
  });
}
