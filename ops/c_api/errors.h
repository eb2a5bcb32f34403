#pragma once
#include <string>

#include "attend/c_api.h"
#include "attend/error.h"

// Nothing is thrown across the C surface: what would leave a function becomes a code and the
// thread's last error.
namespace attend::c_api {

// Keeps the exception that is being handled.
attend_error_code keep_exception() noexcept;

template <class F>
attend_error_code guarded(F&& f) noexcept {
  try {
    f();
    return ATTEND_OK;
  } catch (...) {
    return keep_exception();
  }
}

// For arguments of the C functions themselves.
template <class T>
T* given(const char* where, const char* argument, T* pointer) {
  if (pointer == nullptr)
    throw Error(ErrorCode::kInvalidArgument,
                std::string(where) + ": " + argument + " is null, expected a pointer");
  return pointer;
}

}  // namespace attend::c_api
