#include "tests/simt/driver/result.h"

#include <utility>

namespace attend::simt {
namespace {

thread_local Result latest = Result::kSuccess;
thread_local std::string latest_why, latest_text;

struct Words {
  Result result;
  const char *name, *text;
};
constexpr Words kWords[] = {
    {Result::kSuccess, "SUCCESS", "no error"},
    {Result::kInvalidValue, "INVALID_VALUE", "invalid argument"},
    {Result::kOutOfMemory, "OUT_OF_MEMORY", "out of memory"},
    {Result::kNotInitialized, "NOT_INITIALIZED", "initialization error"},
    {Result::kNoDevice, "NO_DEVICE", "no device is detected"},
    {Result::kInvalidDevice, "INVALID_DEVICE", "invalid device ordinal"},
    {Result::kInvalidContext, "INVALID_CONTEXT", "invalid device context"},
    {Result::kInvalidHandle, "INVALID_HANDLE", "invalid resource handle"},
    {Result::kNotFound, "NOT_FOUND", "named symbol not found"},
    {Result::kNotReady, "NOT_READY", "device not ready"},
    {Result::kLaunchFailed, "LAUNCH_FAILED", "unspecified launch failure"},
    {Result::kCaptureUnsupported, "STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {Result::kCaptureInvalidated, "STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {Result::kUnknown, "UNKNOWN", "unknown error"},
};

const Words& words_of(Result result) {
  for (const Words& words : kWords)
    if (words.result == result) return words;
  return words_of(Result::kUnknown);
}

}  // namespace

Result fail(Result result, std::string why) {
  latest = result;
  latest_why = std::move(why);
  return result;
}

const char* text_of(Result result) {
  const Words& words = words_of(result);
  if (result != latest || latest_why.empty()) return words.text;
  latest_text = std::string(words.text) + ": " + latest_why;
  return latest_text.c_str();
}

const char* name_of(Result result) { return words_of(result).name; }

}  // namespace attend::simt
