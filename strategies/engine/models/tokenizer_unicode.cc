#include "strategies/engine/models/tokenizer_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

namespace attend::engine {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

struct Sequence {
  size_t length = 1;  // of the character, or of the longest part of one that stands there
  bool is_valid = false, is_cut = false;
};

// What stands at the begin of bytes (table 3-7 of the Unicode standard).
Sequence sequence(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  if (lead < 0x80) return {1, true, false};
  const size_t want = lead >= 0xC2 && lead <= 0xDF   ? 2
                      : lead >= 0xE0 && lead <= 0xEF ? 3
                      : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                     : 0;
  if (want == 0) return {};
  // Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < want; ++i) {
    if (i == bytes.size()) return {i, false, true};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (i == 1 ? byte < low || byte > high : !is_continuation(byte)) return {i, false, false};
  }
  return {want, true, false};
}

}  // namespace

size_t append_utf8(std::string_view bytes, bool end, std::string& out) {
  size_t valid = 0, at = 0;  // bytes[valid, at) are fine and not yet out
  while (at < bytes.size()) {
    const Sequence here = sequence(bytes.substr(at));
    if (!here.is_valid) {
      out.append(bytes.substr(valid, at - valid));
      if (here.is_cut && !end) return at;
      out.append(kReplacement);
      valid = at + here.length;
    }
    at += here.length;
  }
  out.append(bytes.substr(valid));
  return bytes.size();
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  append_utf8(text, true, out);
  return out;
}

char32_t next_char(std::string_view text, size_t& at) {
  const auto byte = [&] { return static_cast<unsigned char>(text[at++]); };
  const char32_t lead = byte();
  if (lead < 0x80) return lead;
  char32_t c = lead & (lead < 0xE0 ? 0x1F : lead < 0xF0 ? 0x0F : 0x07);
  while (at < text.size() && is_continuation(static_cast<unsigned char>(text[at])))
    c = c << 6 | (byte() & 0x3F);
  return c;
}

char32_t previous_char(std::string_view text, size_t& at) {
  do --at;
  while (at > 0 && is_continuation(static_cast<unsigned char>(text[at])));
  size_t from = at;
  return next_char(text, from);
}

void append_char(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      out += static_cast<char>(0xE0 | c >> 12);
    } else {
      out += static_cast<char>(0xF0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    }
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  }
  out += static_cast<char>(0x80 | (c & 0x3F));
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  if (c == 0x85) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool is_word(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  // Symbols that are alphabetic: letters in circles and squares.
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189))
    return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
  }
}

bool is_numeric(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

// Not utf8proc_map: it brings marks into order by exchanging neighbours, which on a long run of
// them takes quadratic time.
std::string normalize(std::string_view text, NormalForm form) {
  if (std::all_of(text.begin(), text.end(),
                  [](char c) { return static_cast<signed char>(c) >= 0; }))
    return std::string(text);
  int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) options |= UTF8PROC_COMPAT;
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  constexpr int kLongest = 32;  // decomposition of a character: 18 of them
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<utf8proc_int32_t>(next_char(text, at));
    const size_t begin = chars.size();
    chars.resize(begin + kLongest);
    int boundary = 0;
    const auto count = utf8proc_decompose_char(c, chars.data() + begin, kLongest,
                                               static_cast<utf8proc_option_t>(options), &boundary);
    if (count < 0 || count > kLongest) throw std::bad_alloc();
    chars.resize(begin + static_cast<size_t>(count));
  }
  const auto order = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (auto run = chars.begin(); run != chars.end();) {
    const auto end = std::find_if(run, chars.end(), [&](auto c) { return order(c) == 0; });
    if (end - run > 1)
      std::stable_sort(run, end, [&](auto a, auto b) { return order(a) < order(b); });
    run = end == chars.end() ? end : end + 1;
  }
  if (form == NormalForm::kNfc || form == NormalForm::kNfkc) {
    const auto count = utf8proc_normalize_utf32(
        chars.data(), static_cast<utf8proc_ssize_t>(chars.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    chars.resize(static_cast<size_t>(count));
  }
  std::string out;
  out.reserve(text.size());
  for (const auto c : chars) append_char(static_cast<char32_t>(c), out);
  return out;
}

}  // namespace attend::engine
