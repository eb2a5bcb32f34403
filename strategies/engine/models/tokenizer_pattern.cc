// Patterns are written for Oniguruma. PCRE2 reads nearly all of them alike; what it reads otherwise
// is rewritten here (\s, \w, \uHHHH, {,n}) or refused.
#include <cctype>

#include "strategies/engine/models/json_field.h"
#include "strategies/engine/models/tokenizer_regex.h"

namespace attend::engine {
namespace {

// Both begin and end with a property, so that a hyphen beside them in a set is refused by PCRE2 and
// not taken for a range.
// White_Space. PCRE2's own \s also takes U+180E.
constexpr const char* kSpace =
    "\\p{Zl}\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}"
    "\\x{3000}\\p{Zp}";
// Alphabetic, M, Nd, Pc. PCRE2's own \w is L, N and the underscore.
constexpr const char* kWord =
    "\\p{L}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
    "\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}";
// By an old table of Oniguruma, outside of sets alone: the powers and fractions of Latin 1.
constexpr const char* kWordBesides = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

class Translation {
 public:
  explicit Translation(const std::string& in) : in_(in) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return out_;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported,
                "pattern " + in_quotes(in_) + " has " + what + ", expected a pattern without it");
  }
  bool starts(const char* text) const {
    return in_.compare(at_, std::char_traits<char>::length(text), text) == 0;
  }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void copy(size_t count) {
    out_.append(in_, at_, count);
    at_ += count;
  }

  void step() {
    switch (peek()) {
      case '\\': return escape(false);
      case '[': return set();
      case '(': return group();
      case '{': return interval();
      default: return copy(1);
    }
  }

  void escape(bool in_set) {
    const char c = peek(1);
    const auto put = [&](const std::string& text) {
      out_ += text;
      at_ += 2;
    };
    switch (c) {
      case 's': return put(in_set ? kSpace : std::string("[") + kSpace + "]");
      case 'S': return put(in_set ? "\\S\\x{180e}" : std::string("[^") + kSpace + "]");
      case 'w': return put(in_set ? kWord : std::string("[") + kWord + kWordBesides + "]");
      case 'v': return put("\\x{b}");
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'a':
      case 'e': return copy(2);
      case 'p':
      case 'P': return property();
      case 'x':
      case 'u': return code_point();
      default: break;
    }
    if (c == 'W' && !in_set) return put(std::string("[^") + kWord + kWordBesides + "]");
    if ((c == 'A' || c == 'z') && !in_set) return copy(2);
    if (c == '\0' || std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0)
      refuse(c == '\0' ? "a backslash at its end" : std::string("the escape \\") + c);
    copy(2);
  }

  void property() {
    const size_t end = in_.find('}', at_);
    if (peek(2) != '{' || end == std::string::npos) refuse("a property without braces");
    copy(end + 1 - at_);
  }

  // \uHHHH, \x{H...}, \xHH
  void code_point() {
    size_t begin = at_ + 2, end = begin;
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    if (braces) ++begin, ++end;
    const size_t most = braces ? 8 : peek(1) == 'u' ? 4 : 2;
    while (end < in_.size() && end - begin < most &&
           std::isxdigit(static_cast<unsigned char>(in_[end])) != 0)
      ++end;
    const std::string digits = in_.substr(begin, end - begin);
    if (digits.empty() || (!braces && digits.size() != most) ||
        (braces && (end >= in_.size() || in_[end] != '}')))
      refuse("a code point that is not of the form \\uHHHH, \\x{HHHH} or \\xHH");
    if (!braces && most == 2 && digits[0] > '7') refuse("a byte above \\x7F");
    out_ += "\\x{" + digits + "}";
    at_ = end + (braces ? 1 : 0);
  }

  void set() {
    copy(1);
    if (peek() == '^') copy(1);
    if (peek() == ']') refuse("a set that begins with ]");
    while (peek() != ']') {
      if (at_ >= in_.size()) refuse("a set without an end");
      if (peek() == '[') refuse("a set inside a set");
      if (starts("&&")) refuse("an intersection of sets");
      if (peek() == '\\')
        escape(true);
      else
        copy(1);
    }
    copy(1);
  }

  void group() {
    if (peek(1) == '*') refuse("(*");
    if (peek(1) != '?') return copy(1);
    for (const char* kind : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:"})
      if (starts(kind)) return copy(std::char_traits<char>::length(kind));
    if (starts("(?i)") && at_ == 0) return copy(4);
    refuse("the group " + in_.substr(at_, 4));
  }

  // {n}, {n,}, {n,m} and Oniguruma's {,m}; any other brace stands for itself.
  void interval() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < in_.size() && std::isdigit(static_cast<unsigned char>(in_[end])) != 0) ++end;
      return end - begin;
    };
    const size_t low = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    const size_t high = comma ? (++end, digits()) : 0;
    if (end >= in_.size() || in_[end] != '}' || low + high == 0) return copy(1);
    const char next = end + 1 < in_.size() ? in_[end + 1] : '\0';
    if (next == '+' || (next == '?' && !comma)) refuse(std::string("a } followed by ") + next);
    if (low > 0) return copy(end + 1 - at_);
    out_ += "{0" + in_.substr(at_ + 1, end - at_);
    at_ = end + 1;
  }

  const std::string& in_;
  std::string out_;
  size_t at_ = 0;
};

}  // namespace

std::string pcre2_pattern(const std::string& oniguruma) { return Translation(oniguruma).run(); }

}  // namespace attend::engine
