// The pieces that a tokenizer is made of, by definitions and tables of others.
#include <gtest/gtest.h>

#include "attend/error.h"
#include "strategies/engine/models/tokenizer_parts.h"
#include "strategies/engine/models/tokenizer_regex.h"
#include "strategies/engine/models/tokenizer_split.h"
#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

// Table 3-8 of the Unicode standard and the examples around it.
TEST(TokenizerUnicode, EachMaximalPartIsReplaced) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(valid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(valid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\u0080\u07FF\u0800\uD7FF\uE000\uFFFF\U00010000\U0010FFFF"),
            "\u0080\u07FF\u0800\uD7FF\uE000\uFFFF\U00010000\U0010FFFF");
}

TEST(TokenizerUnicode, CharactersComeBack) {
  for (char32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text = "a";
    append_char(c, text);
    size_t at = 1, back = text.size();
    EXPECT_EQ(next_char(text, at), c);
    EXPECT_EQ(at, text.size());
    EXPECT_EQ(previous_char(text, back), c);
    EXPECT_EQ(back, 1u);
    EXPECT_EQ(valid_utf8(text), text);
  }
}

TEST(TokenizerUnicode, NormalForms) {
  const std::string text =
      "\u1E9B\u0323 \uFB01 A\u030A \u212B \uAC01 \u1100\u1161\u11A8 a\u0301\u0323";
  EXPECT_EQ(normalize(text, NormalForm::kNfc),
            "\u1E9B\u0323 \uFB01 \u00C5 \u00C5 \uAC01 \uAC01 \u1EA1\u0301");
  EXPECT_EQ(normalize(text, NormalForm::kNfd),
            "\u017F\u0323\u0307 \uFB01 A\u030A A\u030A \u1100\u1161\u11A8 \u1100\u1161\u11A8 "
            "a\u0323\u0301");
  EXPECT_EQ(normalize(text, NormalForm::kNfkc),
            "\u1E69 fi \u00C5 \u00C5 \uAC01 \uAC01 \u1EA1\u0301");
  EXPECT_EQ(normalize(text, NormalForm::kNfkd),
            "s\u0323\u0307 fi A\u030A A\u030A \u1100\u1161\u11A8 \u1100\u1161\u11A8 a\u0323\u0301");
}

TEST(TokenizerBytes, EveryByteHasACharacter) {
  std::string all, written, back;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  append_byte_level(all, written);
  append_bytes(written, back);
  EXPECT_EQ(back, all);
  std::string known;
  append_byte_level(" \n!\x7F\xA0\xAD\xFF", known);
  EXPECT_EQ(known, "ĠĊ!ġłŃÿ");
  back.clear();
  append_bytes("Ġ語", back);  // no character of a byte: the text stays
  EXPECT_EQ(back, "Ġ語");
}

std::vector<std::string> found(const Regex& regex, const std::string& text) {
  std::vector<TextRange> matches;
  regex.find_all(text, matches);
  std::vector<std::string> out;
  for (const TextRange& m : matches) out.push_back(text.substr(m.begin, m.end - m.begin));
  return out;
}

using Texts = std::vector<std::string>;

TEST(TokenizerRegex, BlanksAndWordsAreUnicodes) {
  EXPECT_EQ(found(Regex::pattern("\\s+"), "a\u3000\u0085b\u180Ec\u2028"),
            (Texts{"\u3000\u0085", "\u2028"}));
  EXPECT_EQ(found(Regex::pattern("[^\\s]+"), "a\u180E b"), (Texts{"a\u180E", "b"}));
  EXPECT_EQ(found(Regex::pattern("[\\S]+"), "a\u180E b"), (Texts{"a\u180E", "b"}));
  EXPECT_EQ(found(Regex::pattern("\\w+"), "e\u0301_\u2160-\u24D0.\u00B2 \u2189"),
            (Texts{"e\u0301_\u2160", "\u24D0", "\u00B2"}));
  EXPECT_EQ(found(Regex::pattern("[\\w.]+"), "a\u00B2."), (Texts{"a", "."}));
  EXPECT_EQ(found(Regex::pattern("\\u0041{,2}b"), "AAAb b"), (Texts{"AAb", "b"}));
}

TEST(TokenizerRegex, EmptyMatchesStandBetweenCharacters) {
  EXPECT_EQ(found(Regex::pattern("x*"), "axé"), (Texts{"", "x", ""}));
  EXPECT_EQ(found(Regex::literal(""), "aé"), (Texts{"", "", ""}));
  EXPECT_EQ(found(Regex::literal(".*"), "a.*b"), (Texts{".*"}));
}

TEST(TokenizerRegex, WhatTheTwoReadDifferentlyIsRefused) {
  for (const char* pattern :
       {"\\b", "\\h", "\\R", "\\1", "a{1}+", "a{2}?", "(?i)b|(?i)c", "(?<n>a)", "(?m:a)", "[]a]",
        "[a[:alpha:]]", "[a&&b]", "\\xFF", "[\\W]", "(*ANY)a", "a\\", "[a", "\\pL", "(?#a)"})
    EXPECT_THROW(Regex::pattern(pattern), Error) << pattern;
  // A hyphen beside a class of characters: no range.
  EXPECT_THROW(Regex::pattern("[\\s-a]"), Error);
}

TEST(TokenizerSplit, Behaviors) {
  // "the-final--countdown" by "-", the tokenizers package's own example.
  const std::string text = "the-final--countdown";
  const std::vector<TextRange> dashes = {{3, 4}, {9, 10}, {10, 11}};
  const auto parts = [&](SplitBehavior behavior, bool invert = false) {
    Texts out;
    for (const TextRange& r : split(dashes, text.size(), behavior, invert))
      out.push_back(text.substr(r.begin, r.end - r.begin));
    return out;
  };
  EXPECT_EQ(parts(SplitBehavior::kRemoved), (Texts{"the", "final", "countdown"}));
  EXPECT_EQ(parts(SplitBehavior::kIsolated), (Texts{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(parts(SplitBehavior::kMergedWithPrevious), (Texts{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(parts(SplitBehavior::kMergedWithNext), (Texts{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(parts(SplitBehavior::kContiguous), (Texts{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(parts(SplitBehavior::kRemoved, true), (Texts{"-", "-", "-"}));
}

}  // namespace
}  // namespace attend::engine
