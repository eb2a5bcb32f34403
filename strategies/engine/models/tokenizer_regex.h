#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace attend::engine {

struct TextRange {
  size_t begin = 0, end = 0;
};

// A pattern of tokenizer.json, run by PCRE2. const use from several threads is fine.
class Regex {
 public:
  // A pattern in the syntax of Oniguruma, which the tokenizers package runs them by.
  //   errors   kUnsupported for what the two read differently and no pattern in use has,
  //            kInvalidArgument for what PCRE2 does not take; both quote the pattern
  static Regex pattern(const std::string& oniguruma);
  static Regex literal(const std::string& text);

  // All matches in valid UTF-8, leftmost first. An empty one directly behind another match is none.
  //   errors   kInvalidArgument when the pattern backtracks without end on this text
  void find_all(std::string_view text, std::vector<TextRange>& matches) const;

 private:
  Regex(const std::string& pattern, const std::string& shown, unsigned options);

  std::string shown_;
  std::shared_ptr<void> code_;
};

// The pattern in PCRE2's words; exposed for its test.
std::string pcre2_pattern(const std::string& oniguruma);

}  // namespace attend::engine
