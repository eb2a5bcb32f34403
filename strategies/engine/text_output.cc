#include "strategies/engine/text_output.h"

#include <algorithm>
#include <string_view>

namespace attend::engine {
namespace {

// How many of the last bytes of text may be the beginning of a stop string.
size_t undecided(std::string_view text, const std::vector<std::string>& stop) {
  size_t longest = 0;
  for (const std::string& s : stop)
    for (size_t n = std::min(s.size() - 1, text.size()); n > longest; --n)
      if (text.ends_with(std::string_view(s).substr(0, n))) longest = n;
  return longest;
}

}  // namespace

std::string TextOutput::let_out(const std::string& piece, bool is_last) {
  if (stopped_) return {};
  held_ += piece;
  size_t end = std::string::npos;
  for (const std::string& s : stop_) end = std::min(end, held_.find(s));
  stopped_ = end != std::string::npos;
  if (!stopped_) end = held_.size() - (is_last ? 0 : undecided(held_, stop_));
  std::string out = held_.substr(0, end);
  held_.erase(0, end);
  text_ += out;
  return out;
}

}  // namespace attend::engine
