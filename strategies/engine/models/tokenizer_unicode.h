#pragma once
#include <string>
#include <string_view>

namespace attend::engine {

// Appends bytes as UTF-8: what is none becomes U+FFFD, one for each maximal part of a character, as
// Rust and Python replace it. A character that the end cuts off waits unless `end` says that
// nothing follows. Returns how many bytes were taken.
size_t append_utf8(std::string_view bytes, bool end, std::string& out);

// The text with U+FFFD for what is not UTF-8.
std::string valid_utf8(std::string_view text);

// Of valid UTF-8: the character at `at`, which moves behind it.
char32_t next_char(std::string_view text, size_t& at);
// Of valid UTF-8: the character that ends at `at`, which moves to its begin.
char32_t previous_char(std::string_view text, size_t& at);
void append_char(char32_t c, std::string& out);

bool is_space(char32_t c);    // property White_Space
bool is_word(char32_t c);     // \w: Alphabetic, M, Nd, Pc, the two joiners
bool is_numeric(char32_t c);  // Nd, Nl, No

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string normalize(std::string_view text, NormalForm form);

}  // namespace attend::engine
