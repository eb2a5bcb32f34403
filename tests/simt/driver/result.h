#pragma once
#include <string>

// What a driver's function returns: CUDA and HIP number these alike.
namespace attend::simt {

enum class Result : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidContext = 201,
  kInvalidHandle = 400,
  kNotFound = 500,
  kNotReady = 600,
  kLaunchFailed = 719,
  kCaptureUnsupported = 900,
  kCaptureInvalidated = 901,
  kUnknown = 999,
};

// Keeps `why` as this thread's words for the result, and returns it.
Result fail(Result result, std::string why);

// "unspecified launch failure: attend_merge: block (0, 0, 0), ...": with the latest `why` of this
// thread. Valid until its next failure.
const char* text_of(Result result);
const char* name_of(Result result);  // "LAUNCH_FAILED"

}  // namespace attend::simt
