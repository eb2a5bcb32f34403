#pragma once
#include <string>

#include "attend/error_word.h"

namespace attend {

// What an error word says, as native's checks and ExecContext::check() tell it:
// "seqused_k[1] is 9, expected 0 to 5, the rows of its sequence".
std::string index_words(const ErrorWord& word);
// Throws it as "<where>: <words>".
[[noreturn]] void throw_index(const char* where, const ErrorWord& word);
// The same, if it says anything.
inline void refuse(const char* where, const ErrorWord& word) {
  if (word.code != 0) throw_index(where, word);
}

}  // namespace attend
