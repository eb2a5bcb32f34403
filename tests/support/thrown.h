#pragma once
#include <string>

#include "attend/error.h"

namespace attend::testing {

// The error that f throws; kOk and "" if it throws none.
struct Thrown {
  ErrorCode code = ErrorCode::kOk;
  std::string what;
  bool says(const std::string& words) const { return what.find(words) != std::string::npos; }
};
template <class F>
Thrown thrown(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {};
}

}  // namespace attend::testing
