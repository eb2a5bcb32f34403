#include "ops/environment.h"

#include <cstdlib>
#include <string>

#include "attend/error.h"

namespace attend {

std::optional<DeviceType> device_override() {
  static const std::string word = [] {
    const char* value = std::getenv("ATTEND_DEVICE");
    return std::string(value != nullptr ? value : "");
  }();
  if (word.empty()) return std::nullopt;
  for (DeviceType type : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm})
    if (word == name(type)) return type;
  throw Error(ErrorCode::kInvalidArgument,
              "forward: ATTEND_DEVICE is '" + word + "', expected native, cuda or rocm, or unset");
}

}  // namespace attend
