#pragma once
#include <string>

#include "attend/error.h"

// Statuses whose words are put together at run time.
namespace attend::gpu {

// A copy of the text that lives as long as the plugin, the same for the same text: a Status holds
// its message by pointer.
const char* kept_text(const std::string& text);

Status refused(ErrorCode code, const std::string& why);

// "<what> failed with error 700: an illegal memory access was encountered"; kOutOfMemory or
// kDeviceError by the driver's code.
Status failed(const std::string& what, int driver_code);

}  // namespace attend::gpu
