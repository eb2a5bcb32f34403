#include "ops/c_api/errors.h"

#include <exception>
#include <new>

namespace attend::c_api {
namespace {

struct LastError {
  attend_error_code code = ATTEND_OK;
  std::string text;
  const char* message = "";  // of text, or static where there was no memory for one
};
LastError& last_error() noexcept {
  thread_local LastError last;
  return last;
}

attend_error_code keep(ErrorCode code, const char* what) noexcept {
  LastError& last = last_error();
  last.code = static_cast<attend_error_code>(code);
  try {
    last.text = what;
    last.message = last.text.c_str();
  } catch (...) {
    last.message = "attend: out of memory while an error was told";
  }
  return last.code;
}

static_assert(static_cast<int>(ErrorCode::kOk) == ATTEND_OK);
static_assert(static_cast<int>(ErrorCode::kInvalidArgument) == ATTEND_INVALID_ARGUMENT);
static_assert(static_cast<int>(ErrorCode::kUnsupported) == ATTEND_UNSUPPORTED);
static_assert(static_cast<int>(ErrorCode::kBackendUnavailable) == ATTEND_BACKEND_UNAVAILABLE);
static_assert(static_cast<int>(ErrorCode::kDeviceError) == ATTEND_DEVICE_ERROR);
static_assert(static_cast<int>(ErrorCode::kNoMetadata) == ATTEND_NO_METADATA);
static_assert(static_cast<int>(ErrorCode::kOutOfRange) == ATTEND_OUT_OF_RANGE);
static_assert(static_cast<int>(ErrorCode::kOutOfMemory) == ATTEND_OUT_OF_MEMORY);

}  // namespace

attend_error_code keep_exception() noexcept {
  try {
    throw;
  } catch (const Error& e) {
    return keep(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return keep(ErrorCode::kOutOfMemory, "attend: host memory is not to be had");
  } catch (const std::exception& e) {
    return keep(ErrorCode::kDeviceError, e.what());
  } catch (...) {
    return keep(ErrorCode::kDeviceError, "attend: an exception of unknown type");
  }
}

}  // namespace attend::c_api

extern "C" {

attend_error_code attend_last_error(void) { return attend::c_api::last_error().code; }
const char* attend_last_error_message(void) { return attend::c_api::last_error().message; }
const char* attend_error_name(int32_t code) {
  return attend::name(static_cast<attend::ErrorCode>(code));
}

}  // extern "C"
