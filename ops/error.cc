#include "attend/error.h"

namespace attend {

const char* name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kOk: return "ok";
    case ErrorCode::kInvalidArgument: return "invalid_argument";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kBackendUnavailable: return "backend_unavailable";
    case ErrorCode::kDeviceError: return "device_error";
    case ErrorCode::kNoMetadata: return "no_metadata";
    case ErrorCode::kOutOfRange: return "out_of_range";
    case ErrorCode::kOutOfMemory: return "out_of_memory";
  }
  return "unknown";
}

std::string to_string(const Status& status) {
  // A plugin may leave the words out; its code still says what happened.
  std::string text = status.message != nullptr ? status.message : name(status.code);
  const size_t at = text.find("{}");
  if (at == std::string::npos) return text;
  std::string filled(text, 0, at);
  filled += std::to_string(status.detail);
  filled.append(text, at + 2);
  return filled;
}

}  // namespace attend
