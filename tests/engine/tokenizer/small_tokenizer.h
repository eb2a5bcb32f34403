#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "strategies/engine/models/tokenizer.h"
#include "strategies/engine/models/tokenizer_parts.h"

namespace attend::engine {

// A byte-level tokenizer.json: ids 0 to 255 are the bytes, 256 and up what the merges make, then
// the special tokens <s> and </s>.
inline nlohmann::json small_json() {
  nlohmann::json vocab = nlohmann::json::object(), merges = nlohmann::json::array();
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_byte_level(std::string(1, static_cast<char>(byte)), character);
    vocab[character] = byte;
  }
  int next = 256;
  for (const char* pair :
       {"l l", "h e", "he ll", "hell o", "Ġ w", "Ġw o", "o r", "a a", "aa aa", "Ġ Ġ"}) {
    merges.push_back(pair);
    std::string merged = pair;
    merged.erase(merged.find(' '), 1);
    vocab[merged] = next++;
  }
  const auto special = [&](const char* content) {
    return nlohmann::json{
        {"id", next++}, {"content", content}, {"special", true}, {"normalized", false}};
  };
  return {{"version", "1.0"},
          {"added_tokens", {special("<s>"), special("</s>")}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

// A folder with that text as its tokenizer.json, gone at the end.
class TokenizerFolder {
 public:
  explicit TokenizerFolder(const std::string& text) {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("attend_tokenizer_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directory(path_);
    std::ofstream(path_ / "tokenizer.json", std::ios::binary) << text;
  }
  explicit TokenizerFolder(const nlohmann::json& json) : TokenizerFolder(json.dump()) {}
  ~TokenizerFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TokenizerFolder(const TokenizerFolder&) = delete;
  TokenizerFolder& operator=(const TokenizerFolder&) = delete;

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline Tokenizer tokenizer_of(const nlohmann::json& json) {
  return Tokenizer::read(TokenizerFolder(json).path());
}

}  // namespace attend::engine
