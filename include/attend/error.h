#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "attend/export.h"

namespace attend {

// Why a call could not be served. Part of the plugin ABI: append, never renumber.
enum class ErrorCode : int32_t {
  kOk = 0,
  kInvalidArgument = 1,     // the caller's tensors or params contradict each other
  kUnsupported = 2,         // a legal call that no registered kernel takes
  kBackendUnavailable = 3,  // backend not built, plugin not found, or no such device
  kDeviceError = 4,         // driver, launch or copy failure, with the vendor's text
  kNoMetadata = 5,          // fetch_attn_metadata() outside any MetadataScope
  kOutOfRange = 6,          // an index, length or page id lies outside its tensor
  kOutOfMemory = 7,         // scratch or output memory could not be had
};

// "invalid_argument", "unsupported", ...: the contract's words.
ATTEND_API const char* name(ErrorCode code) noexcept;

// The one exception of the public C++ API.
//   what()   "<where>: <argument> <property> is <got>, expected <want>[; what to do]"
class ATTEND_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// What kernels and plugins return; nothing throws across a shared-object boundary.
struct Status {
  ErrorCode code = ErrorCode::kOk;
  const char* message =
      "";              // static text of the callee, whose object stays loaded; one {} takes detail
  int64_t detail = 0;  // the offending value or the vendor's error number

  explicit operator bool() const noexcept { return code == ErrorCode::kOk; }
};

// The status in words, {} replaced by detail.
ATTEND_API std::string to_string(const Status& status);

}  // namespace attend
