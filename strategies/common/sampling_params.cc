#include "strategies/common/sampling_params.h"

#include "attend/error.h"

namespace attend::engine {
namespace {

template <class T>
void expect(bool good, const char* field, T got, const char* want) {
  if (!good)
    throw Error(ErrorCode::kInvalidArgument, std::string("sampling params: ") + field + " is " +
                                                 std::to_string(got) + ", expected " + want);
}

}  // namespace

void SamplingParams::validate() const {
  expect(temperature >= 0 && temperature < 1e30f, "temperature", temperature, "0 or more");
  expect(top_k >= 0, "top_k", top_k, "0 (off) or more");
  expect(top_p > 0 && top_p <= 1, "top_p", top_p, "a share in (0, 1]");
  expect(min_p >= 0 && min_p <= 1, "min_p", min_p, "a share in [0, 1]");
  expect(repetition_penalty > 0 && repetition_penalty < 1e30f, "repetition_penalty",
         repetition_penalty, "more than 0");
  expect(max_tokens >= 1, "max_tokens", max_tokens, "1 or more");
  expect(logprobs >= -1, "logprobs", logprobs, "-1 (none) or more");
  for (const std::string& s : stop)
    if (s.empty())
      throw Error(ErrorCode::kInvalidArgument,
                  "sampling params: stop holds an empty string, expected text");
}

}  // namespace attend::engine
