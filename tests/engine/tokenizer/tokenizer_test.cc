#include "strategies/engine/models/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "strategies/engine/models/tokenizer_unicode.h"
#include "tests/engine/tokenizer/small_tokenizer.h"

namespace attend::engine {
namespace {

using Ids = std::vector<int32_t>;
using nlohmann::json;

// Of small_json().
constexpr int32_t kLl = 256, kHe = 257, kHello = 259, kSpaceWo = 261, kAa = 263, kAaaa = 264,
                  kTwoSpaces = 265, kBegin = 266, kEnd = 267;

TEST(Tokenizer, MergesTheEarliestPairFirst) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  EXPECT_EQ(tokenizer.encode("hello world"), (Ids{kHello, kSpaceWo, 'r', 'l', 'd'}));
  EXPECT_EQ(tokenizer.encode("hell"), (Ids{258}));
  EXPECT_EQ(tokenizer.encode("elle"), (Ids{'e', kLl, 'e'}));
  EXPECT_EQ(tokenizer.encode("lll"), (Ids{kLl, 'l'}));  // of equal pairs the left one
  EXPECT_EQ(tokenizer.encode("aaaaaaa"), (Ids{kAaaa, kAa, 'a'}));
  EXPECT_EQ(tokenizer.encode("heh"), (Ids{kHe, 'h'}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

// A pair that waits to be merged may have become another one meanwhile.
TEST(Tokenizer, PairsThatAreNoMoreDoNotMerge) {
  json merges = small_json();
  int next = 268;
  for (const char* token : {"bc", "ab", "abc"}) merges["model"]["vocab"][token] = next++;
  for (const char* merge : {"b c", "a b", "a bc"}) merges["model"]["merges"].push_back(merge);
  const Tokenizer tokenizer = tokenizer_of(merges);
  EXPECT_EQ(tokenizer.encode("abc"), Ids{270});
  EXPECT_EQ(tokenizer.encode("abd"), (Ids{269, 'd'}));
}

TEST(Tokenizer, MergesMayBePairs) {
  json pairs = small_json();
  for (json& merge : pairs["model"]["merges"]) {
    const std::string text = merge;
    const size_t space = text.find(' ');
    merge = {text.substr(0, space), text.substr(space + 1)};
  }
  EXPECT_EQ(tokenizer_of(pairs).encode("hello world"), (Ids{kHello, kSpaceWo, 'r', 'l', 'd'}));
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  EXPECT_EQ(tokenizer.vocab_size(), 268);
  EXPECT_EQ(tokenizer.id_of("hello"), kHello);
  EXPECT_EQ(tokenizer.id_of("<s>"), kBegin);
  EXPECT_EQ(tokenizer.id_of("nothing"), -1);
}

TEST(Tokenizer, SpecialTokensAreFoundInTextAndSkippedInOutput) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  const Ids ids = tokenizer.encode("<s>hello</s>");
  EXPECT_EQ(ids, (Ids{kBegin, kHello, kEnd}));
  EXPECT_EQ(tokenizer.decode(ids), "hello");
  EXPECT_EQ(tokenizer.decode(ids, false), "<s>hello</s>");
  EXPECT_EQ(tokenizer.decode(Ids{-1, kHello, 1 << 30, 268}), "hello");  // no such tokens
}

TEST(Tokenizer, BosComesFromTheTemplate) {
  json with_bos = small_json();
  with_bos["post_processor"] =
      json::parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
     {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
     "special_tokens": {"<s>": {"id": "<s>", "ids": [266]},
     "</s>": {"id": "</s>", "ids": [267]}}}]})");
  const Tokenizer tokenizer = tokenizer_of(with_bos);
  EXPECT_EQ(tokenizer.encode("aa"), (Ids{kBegin, kAa, kEnd}));
  EXPECT_EQ(tokenizer.encode("aa", false), Ids{kAa});
}

TEST(Tokenizer, AddedTokensTakeBlanksAndKeepToWords) {
  json flags = small_json();
  const auto add = [&](const char* content, int id, const char* flag) {
    flags["added_tokens"].push_back(
        {{"id", id}, {"content", content}, {"normalized", false}, {flag, true}});
  };
  add("<l>", 268, "lstrip");
  add("<r>", 269, "rstrip");
  add("word", 270, "single_word");
  add("<l>x", 271, "special");
  const Tokenizer tokenizer = tokenizer_of(flags);
  EXPECT_EQ(tokenizer.encode("a \n<l> a"), (Ids{'a', 268, ' ', 'a'}));
  EXPECT_EQ(tokenizer.encode("a <r> \u3000a"), (Ids{'a', ' ', 269, 'a'}));
  EXPECT_EQ(tokenizer.encode("word,word"), (Ids{270, ',', 270}));
  EXPECT_EQ(tokenizer.encode("words"), (Ids{'w', 262, 'd', 's'}));
  EXPECT_EQ(tokenizer.encode("<l>x"), (Ids{271}));  // the longest
}

TEST(Tokenizer, AnyBytesComeBackAsUtf8) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes)
      byte = static_cast<char>(random() % 3 == 0 ? random() % 256
                                                 : "ahelo w\xE2\x82\xAC\xF0\x9F"[random() % 12]);
    const Ids ids = tokenizer.encode(bytes);
    EXPECT_EQ(tokenizer.decode(ids), valid_utf8(bytes));
    EXPECT_EQ(tokenizer.encode(valid_utf8(bytes)), ids);
  }
}

TEST(Tokenizer, StreamIsWhatDecodeSays) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  std::mt19937 random(2);
  TextStream stream(tokenizer);
  for (int round = 0; round < 2000; ++round) {
    // Bytes of characters, whole and torn.
    Ids ids = tokenizer.encode("€ 👍hello é");
    for (size_t i = 0, changes = random() % 6; i < changes; ++i)
      ids[random() % ids.size()] = static_cast<int32_t>(random() % 270);
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = stream.push(id);
      EXPECT_EQ(piece, valid_utf8(piece)) << "a torn character";
      text += piece;
    }
    EXPECT_EQ(text + stream.finish(), tokenizer.decode(ids));
  }
}

TEST(Tokenizer, StreamWaitsForWholeCharactersAndNoLonger) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  TextStream stream(tokenizer);
  EXPECT_EQ(stream.push('a'), "a");
  EXPECT_EQ(stream.push(0xE2), "");
  EXPECT_EQ(stream.push(0x82), "");
  EXPECT_EQ(stream.push(0xAC), "€");
  EXPECT_EQ(stream.push(0xE2), "");
  EXPECT_EQ(stream.push('b'), "\uFFFDb");
  EXPECT_EQ(stream.push(0xFF), "\uFFFD");
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

// As Llama 2 has it: blanks are U+2581, bytes have tokens of their own.
json fallback_json() {
  json vocab = {{"<unk>", 0}, {"▁", 1}, {"a", 2}, {"b", 3}, {"▁a", 4}};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    vocab[name] = 5 + byte;
  }
  return {{"added_tokens", json::array()},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", "▁"}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", json::array({"▁ a"})},
            {"unk_token", "<unk>"},
            {"byte_fallback", true}}}};
}

TEST(Tokenizer, BytesStandForUnknownCharacters) {
  const Tokenizer tokenizer = tokenizer_of(fallback_json());
  const Ids ids = tokenizer.encode("a é b");
  EXPECT_EQ(ids, (Ids{4, 1, 5 + 0xC3, 5 + 0xA9, 1, 3}));
  EXPECT_EQ(tokenizer.decode(ids), "a é b");
  // A run that is no text as a whole is U+FFFD for each of its bytes.
  EXPECT_EQ(tokenizer.decode(Ids{5 + 'x', 5 + 0xC3, 2}), "\uFFFD\uFFFDa");
  TextStream stream(tokenizer);
  EXPECT_EQ(stream.push(4), "a");
  EXPECT_EQ(stream.push(5 + 0xC3), "");
  EXPECT_EQ(stream.push(5 + 0xA9), "");
  EXPECT_EQ(stream.push(2), "éa");
  EXPECT_EQ(stream.push(5 + 'x'), "");
  EXPECT_EQ(stream.finish(), "x");
}

TEST(Tokenizer, UnknownTokens) {
  json unknown = fallback_json();
  unknown["model"]["byte_fallback"] = false;
  EXPECT_EQ(tokenizer_of(unknown).encode("xyb"), (Ids{1, 0, 0, 3}));
  unknown["model"]["fuse_unk"] = true;
  EXPECT_EQ(tokenizer_of(unknown).encode("xyb"), (Ids{1, 0, 3}));
  unknown["model"]["unk_token"] = nullptr;
  EXPECT_EQ(tokenizer_of(unknown).encode("xyb"), (Ids{1, 3}));
  unknown["model"]["unk_token"] = "<none>";
  const Tokenizer broken = tokenizer_of(unknown);
  EXPECT_EQ(broken.encode("b"), (Ids{1, 3}));
  EXPECT_THROW(broken.encode("x"), Error);
}

TEST(Tokenizer, IgnoreMergesTakesWholeWords) {
  json words = small_json();
  words["model"]["vocab"]["heo"] = 268;
  EXPECT_EQ(tokenizer_of(words).encode("heo"), (Ids{kHe, 'o'}));
  words["model"]["ignore_merges"] = true;
  EXPECT_EQ(tokenizer_of(words).encode("heo"), (Ids{268}));
}

// Quadratic time would show as a time-out.
TEST(Tokenizer, LongTextsTakeLinearTime) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  constexpr size_t kSize = 1 << 20;
  EXPECT_EQ(tokenizer.encode(std::string(kSize, 'a')), Ids(kSize / 4, kAaaa));
  EXPECT_EQ(tokenizer.encode(std::string(kSize, ' ')), Ids(kSize / 2, kTwoSpaces));
  EXPECT_EQ(tokenizer.encode(std::string(kSize, '\xFF')).size(), 3 * kSize);

  json forms = small_json();
  forms["normalizer"] = {{"type", "NFC"}};
  std::string marks;
  for (size_t i = 0; i < kSize / 4; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0323";
  EXPECT_EQ(tokenizer_of(forms).encode(marks).size(), marks.size());
}

TEST(Tokenizer, ThreadsShareOne) {
  const Tokenizer tokenizer = tokenizer_of(small_json());
  std::string text;
  for (int i = 0; i < 500; ++i) text += "hello world " + std::to_string(i) + " €\n";
  const Ids want = tokenizer.encode(text);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      const Ids got = tokenizer.encode(text);
      EXPECT_EQ(got, want);
      EXPECT_EQ(tokenizer.decode(got), text);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace attend::engine
