#include <cstdlib>
#include <string_view>

#include "tests/simt/executor/launch.h"

namespace attend::simt {

Order Order::from_environment() {
  const char* const text = std::getenv("ATTEND_SIMT_ORDER");
  const std::string_view word = text ? text : "";
  if (word == "backward") return {.kind = Kind::kBackward};
  if (word.starts_with("shuffled"))
    return {.kind = Kind::kShuffled,
            .seed = word.starts_with("shuffled:") ? std::strtoull(text + 9, nullptr, 0) : 1};
  return {};
}

}  // namespace attend::simt
