// tokenizer.json as others may write it: what is wrong is said in words, with the file and the
// field.
#include <gtest/gtest.h>

#include "tests/engine/tokenizer/small_tokenizer.h"

namespace attend::engine {
namespace {

using nlohmann::json;

struct Refusal {
  const char* pointer;  // of the value that is put in
  json value;
  ErrorCode code;
  const char* words;
};

std::string refusal(const json& tokenizer, ErrorCode code) {
  try {
    tokenizer_of(tokenizer);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_NE(std::string(e.what()).find("tokenizer.json: "), std::string::npos) << e.what();
    return e.what();
  }
  return "nothing was refused";
}

TEST(TokenizerRefusals, NameTheField) {
  constexpr auto kInvalid = ErrorCode::kInvalidArgument, kUnsupported = ErrorCode::kUnsupported;
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Isolated"}};
  const auto with = [](json object, const char* key, json value) {
    object[key] = std::move(value);
    return object;
  };
  const auto regex = [&](const char* pattern) {
    return with(split, "pattern", {{"Regex", pattern}});
  };
  const Refusal refusals[] = {
      {"/version", "2.0", kUnsupported, "version is \"2.0\", expected \"1.0\""},
      {"/model", nullptr, kInvalid, "model is null, expected an object"},
      {"/model/type", "Unigram", kUnsupported, "model.type is \"Unigram\", expected \"BPE\""},
      {"/model/dropout", 0.1, kUnsupported, "model.dropout is 0.1, expected null"},
      {"/model/end_of_word_suffix", "</w>", kUnsupported, "model.end_of_word_suffix is \"</w>\""},
      {"/model/continuing_subword_prefix", "##", kUnsupported, "expected null or \"\""},
      {"/model/byte_fallback", 1, kInvalid, "model.byte_fallback is 1, expected true or false"},
      {"/model/vocab", json::array(), kInvalid, "model.vocab is an array, expected an object"},
      {"/model/vocab/a", -1, kInvalid,
       "model.vocab.a is -1, expected an integer from 0 to 16777215"},
      {"/model/vocab/a", 1e9, kInvalid, "model.vocab.a is 1000000000.0"},
      {"/model/vocab/a", 18446744073709551615u, kInvalid, "model.vocab.a is 18446744073709551615"},
      {"/model/vocab/a", 'b', kInvalid, "is 98, expected an id that no other token has"},
      {"/model/merges", "a b", kInvalid, "model.merges is \"a b\", expected an array"},
      {"/model/merges/3", "ab", kInvalid, "model.merges[3] is \"ab\", expected two tokens"},
      {"/model/merges/3", "a b c", kInvalid, "model.merges[3] is \"a b c\", expected two tokens"},
      {"/model/merges/3", "a b", kInvalid, "model.merges[3] is about the token \"ab\""},
      {"/model/merges/3", json::array({"a"}), kInvalid, "model.merges[3] is an array"},
      {"/model/merges/3", json::array({"a", 1}), kInvalid, "model.merges[3] is an array"},
      {"/added_tokens", 1, kInvalid, "added_tokens is 1, expected an array"},
      {"/added_tokens/0", 1, kInvalid, "added_tokens[0] is 1, expected an object"},
      {"/added_tokens/0/id", 1 << 30, kInvalid, "added_tokens[0].id is 1073741824"},
      {"/added_tokens/0/id", 97, kInvalid, "added_tokens[0].id is 97, that of \"a\""},
      {"/added_tokens/1/id", 266, kInvalid, "added_tokens[1].id is 266, that of \"<s>\""},
      {"/added_tokens/0/content", "hello", kInvalid,
       "added_tokens[0].id is 266, expected the vocabulary's 259"},
      {"/added_tokens/0/content", nullptr, kInvalid, "added_tokens[0].content is null"},
      {"/normalizer", {{"type", "Lowercase"}}, kUnsupported, "normalizer.type is \"Lowercase\""},
      {"/normalizer", json::object(), kInvalid, "normalizer.type is missing"},
      {"/pre_tokenizer",
       {{"type", "BertPreTokenizer"}},
       kUnsupported,
       "pre_tokenizer.type is \"BertPre"},
      {"/pre_tokenizer", with(split, "behavior", "Gone"), kInvalid,
       "pre_tokenizer.behavior is \"Gone\""},
      {"/pre_tokenizer", with(split, "pattern", "a"), kInvalid, "pre_tokenizer.pattern is \"a\""},
      {"/pre_tokenizer", regex("("), kInvalid,
       "pre_tokenizer.pattern.Regex: pattern \"(\" is refused by PCRE2"},
      {"/pre_tokenizer", regex("(*LIMIT_MATCH=1)a"), kUnsupported, "has (*"},
      {"/pre_tokenizer", regex("(?C1)a"), kUnsupported, "has the group (?C1"},
      {"/pre_tokenizer", regex("[a[b]]"), kUnsupported, "has a set inside a set"},
      {"/pre_tokenizer", regex("\\h"), kUnsupported, "has the escape \\h"},
      {"/decoder", {{"type", "WordPiece"}}, kUnsupported, "decoder.type is \"WordPiece\""},
      {"/decoder",
       {{"type", "Strip"}, {"content", ""}, {"start", 1}, {"stop", 0}},
       kInvalid,
       "expected one character"},
      {"/decoder",
       {{"type", "Strip"}, {"content", "a"}, {"start", -1}, {"stop", 0}},
       kInvalid,
       "decoder.start is -1"},
      {"/post_processor",
       {{"type", "BertProcessing"}},
       kUnsupported,
       "post_processor.type is \"BertProcessing\""},
      {"/post_processor",
       {{"type", "TemplateProcessing"}, {"single", json::array()}},
       kUnsupported,
       "post_processor.single is a template with the text 0 times"},
      {"/post_processor",
       json::parse(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>"}}],
                       "special_tokens": {}})"),
       kInvalid, "post_processor.special_tokens.<x> is missing"},
  };
  for (const Refusal& r : refusals) {
    json tokenizer = small_json();
    tokenizer[json::json_pointer(r.pointer)] = r.value;
    const std::string words = refusal(tokenizer, r.code);
    EXPECT_NE(words.find(r.words), std::string::npos) << r.pointer << ": " << words;
  }
}

TEST(TokenizerRefusals, FilesThatAreNoJson) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("\xFF"),
        std::string("{\"model\": \"\xC3\"}"), std::string(1, '\0')})
    EXPECT_THROW(Tokenizer::read(TokenizerFolder(text).path()), Error) << text;
  EXPECT_THROW(Tokenizer::read("/nowhere"), Error);
  EXPECT_THROW(Tokenizer::read(std::filesystem::temp_directory_path().string()), Error);
  EXPECT_FALSE(Tokenizer::present("/nowhere"));
  const TokenizerFolder folder(small_json());
  EXPECT_TRUE(Tokenizer::present(folder.path()));
}

// Neither the stack of the parser nor ours.
TEST(TokenizerRefusals, DeepNests) {
  constexpr size_t kDepth = 200000;
  EXPECT_THROW(Tokenizer::read(TokenizerFolder(std::string(kDepth, '[')).path()), Error);
  std::string sequence = R"({"type": "NFC"})";
  for (int i = 0; i < 1000; ++i)
    sequence = R"({"type": "Sequence", "normalizers": [)" + sequence + "]}";
  json deep = small_json();
  deep["normalizer"] = json::parse(sequence);
  EXPECT_NE(refusal(deep, ErrorCode::kInvalidArgument).find("inside 16 sequences"),
            std::string::npos);
}

// What would take forever is given up.
TEST(TokenizerRefusals, PatternsWithoutEnd) {
  json endless = small_json();
  endless["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "(?:a|a)*(?:a|a)*b"}}}, {"behavior", "Isolated"}};
  const Tokenizer tokenizer = tokenizer_of(endless);
  EXPECT_EQ(tokenizer.encode("aab").size(), 2u);
  EXPECT_THROW(tokenizer.encode(std::string(60, 'a') + "cb"), Error);
}

}  // namespace
}  // namespace attend::engine
