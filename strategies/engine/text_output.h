#pragma once
#include <string>
#include <vector>

#include "strategies/engine/models/tokenizer.h"

namespace attend::engine {

// A response's text as it grows, ended by the first of its stop strings. Text that may yet become a
// stop string is held back.
class TextOutput {
 public:
  TextOutput(const Tokenizer& tokenizer, const std::vector<std::string>& stop)
      : stream_(tokenizer), stop_(stop) {}

  // What this token lets out; nothing more once stopped() is true.
  std::string push(int32_t id) { return let_out(stream_.push(id), false); }
  // What was still held back, at the end of the response.
  std::string finish() { return let_out(stream_.finish(), true); }

  bool stopped() const noexcept { return stopped_; }
  const std::string& text() const noexcept { return text_; }  // all that was let out

 private:
  std::string let_out(const std::string& piece, bool is_last);

  TextStream stream_;
  const std::vector<std::string>& stop_;
  std::string text_, held_;
  bool stopped_ = false;
};

}  // namespace attend::engine
