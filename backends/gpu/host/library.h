#pragma once
#include <initializer_list>

#include "attend/error.h"

// A vendor's library, opened at run time, and its functions.
namespace attend::gpu::driver {

// A function of the library by its name there; what is not required may stay null.
struct Symbol {
  const char* name;
  void** function;
  bool required;
};
template <class F>
struct Function {
  F* call = nullptr;
  Symbol as(const char* name, bool required = true) {
    return {name, reinterpret_cast<void**>(&call), required};
  }
  explicit operator bool() const { return call != nullptr; }
  template <class... A>
  int operator()(A... a) const {
    return call(a...);
  }
};

// Opens the first of these files, in a test build with ATTEND_SIMT=1 the stand-in, and binds the
// symbols. `missing` says what it means that no file is there.
//   errors   kBackendUnavailable in words
Status bind(std::initializer_list<const char*> files, const char* missing,
            std::initializer_list<Symbol> symbols);

}  // namespace attend::gpu::driver
