#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "strategies/engine/models/json_field.h"
#include "strategies/engine/models/tokenizer_bpe.h"
#include "strategies/engine/models/tokenizer_normalize.h"

namespace attend::engine {

// The added_tokens of tokenizer.json: texts that are found before anything else is done and are one
// token each, special ones among them.
class AddedTokens {
 public:
  struct Token {
    int32_t id = -1;
    std::string content;
    std::string normalized_content;  // what decoding yields; content where nothing normalizes it
    // Of special ones the tokenizers package forgets that when a normalizer changes them; here they
    // stay so.
    bool single_word = false, lstrip = false, rstrip = false, normalized = false, special = false;
  };
  struct Section {
    size_t begin = 0, end = 0;
    int32_t id = -1;  // of the token that stands there; -1 = text
  };

  // A token of the vocabulary keeps its id. The ids in the file are kept too; where they leave gaps
  // the tokenizers package would number anew.
  AddedTokens(const JsonField& root, const StringMap<int32_t>& vocab, const Normalizer* normalizer);

  const std::vector<Token>& tokens() const noexcept { return tokens_; }
  // The text, cut where tokens stand in it: those to be found before normalization or those after
  // it.
  std::vector<Section> sections(std::string_view text, bool normalized) const;

 private:
  // A trie of contents. Of those that begin at a place the longest is taken, as of all that follow
  // the first.
  struct Trie {
    struct Node {
      std::unordered_map<char, size_t> next;
      const Token* token = nullptr;
    };
    std::vector<Node> nodes;
    std::array<bool, 256> begins{};  // bytes that a content begins with

    void add(std::string_view content, const Token* token);
    // The longest token at the begin of the text, and how much of it that is.
    const Token* longest(std::string_view text, size_t& length) const;
  };

  std::vector<Token> tokens_;
  Trie tries_[2];  // not normalized, normalized
};

}  // namespace attend::engine
