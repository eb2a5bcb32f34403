#pragma once
#include <cstdint>
#include <initializer_list>

#include "attend/tensor.h"

// Elements as doubles, and doubles as elements: written for the tests alone, so that a fault in the
// library's own conversions shows.
namespace attend::testing {

double load(DType dtype, const void* address);  // bool reads as 0 or 1
// Rounds to nearest even; f8 and i8 saturate, and NaN is the -128 of i8.
void store(DType dtype, void* address, double value);
double round_to(DType dtype, double value);  // the nearest value of a float type
double unit_roundoff(DType dtype);           // 2^-24, 2^-11, 2^-8
double least_normal(DType dtype);

inline bool is_f8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }
inline bool is_quantised(DType dtype) { return is_f8(dtype) || dtype == DType::kI8; }

// Address of one element of a view on native.
inline void* address_of(const TensorView& view, std::initializer_list<int64_t> index) {
  int64_t offset = 0;
  int i = 0;
  for (int64_t x : index) offset += x * view.stride[static_cast<size_t>(i++)];
  return static_cast<char*>(view.data) + offset * size_bytes(view.dtype);
}
inline double load(const TensorView& view, std::initializer_list<int64_t> index) {
  return load(view.dtype, address_of(view, index));
}
inline int64_t load_int(const TensorView& view, int64_t i) {
  const void* address = address_of(view, {i});
  return view.dtype == DType::kI64 ? *static_cast<const int64_t*>(address)
                                   : *static_cast<const int32_t*>(address);
}

// load() of a tensor that is right-aligned to [batch, heads, seqlen_q, seqlen_k], each dimension 1
// or full.
double load_broadcast(const TensorView& view, int64_t b, int64_t h, int64_t i, int64_t j);

}  // namespace attend::testing
