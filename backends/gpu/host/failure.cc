#include "backends/gpu/host/failure.h"

#include <mutex>
#include <set>

#include "backends/gpu/host/driver.h"

namespace attend::gpu {

const char* kept_text(const std::string& text) {
  static std::mutex mutex;
  static auto& texts = *new std::set<std::string>;  // outlives every reader at exit
  const std::lock_guard lock(mutex);
  return texts.insert(text).first->c_str();
}

Status refused(ErrorCode code, const std::string& why) { return {code, kept_text(why), 0}; }

Status failed(const std::string& what, int driver_code) {
  constexpr int kNoMemory = 2;  // both vendors' number
  return {driver_code == kNoMemory ? ErrorCode::kOutOfMemory : ErrorCode::kDeviceError,
          kept_text(what + " failed with error {}: " + driver::error_text(driver_code)),
          driver_code};
}

}  // namespace attend::gpu
