#pragma once
#include <cstdint>
#include <string>

#include "attend/error.h"
#include "attend/tensor.h"
#include "strategies/engine/math/math_ops.h"

// Arguments of the engine's own functions, refused in words.
namespace attend::engine {

[[noreturn]] inline void refuse(const char* where, const char* argument, const char* property,
                                const std::string& got, const std::string& want,
                                ErrorCode code = ErrorCode::kInvalidArgument) {
  throw Error(code, std::string(where) + ": " + argument + " " + property + " is " + got +
                        ", expected " + want);
}

inline void expect_native(const char* where, const char* argument, const TensorView& t) {
  if (t.device.type != DeviceType::kNative)
    refuse(where, argument, "device", to_string(t.device), "native:0");
}

inline void expect_f32(const char* where, const char* argument, const TensorView& t) {
  expect_native(where, argument, t);
  if (t.dtype != DType::kF32) refuse(where, argument, "dtype", name(t.dtype), "f32");
}

inline void expect_float(const char* where, const char* argument, const TensorView& t) {
  expect_native(where, argument, t);
  if (!is_float(t.dtype)) refuse(where, argument, "dtype", name(t.dtype), "f32, f16 or bf16");
}

inline void expect_dense(const char* where, const char* argument, const TensorView& t) {
  if (t.dim(-1) > 1 && t.step(-1) != 1)
    refuse(where, argument, "stride of the last dimension", std::to_string(t.step(-1)), "1");
}

// [rows, width]; -1 takes any number.
inline void expect_rows(const char* where, const char* argument, const TensorView& t, int64_t rows,
                        int64_t width) {
  const bool fits =
      t.rank == 2 && (rows < 0 || t.dim(0) == rows) && (width < 0 || t.dim(1) == width);
  const auto word = [](int64_t n, const char* any) { return n < 0 ? any : std::to_string(n); };
  if (!fits)
    refuse(where, argument, "shape", to_string(t),
           "[" + word(rows, "rows") + ", " + word(width, "width") + "]");
  expect_dense(where, argument, t);
}

}  // namespace attend::engine
