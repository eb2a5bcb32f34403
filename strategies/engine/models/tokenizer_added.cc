#include "strategies/engine/models/tokenizer_added.h"

#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {

AddedTokens::AddedTokens(const JsonField& root, const StringMap<int32_t>& vocab,
                         const Normalizer* normalizer) {
  const auto list = root.find("added_tokens");
  if (!list) return;
  const size_t count = list->array_size();
  if (count == 0) return;
  StringMap<size_t> at;
  std::unordered_map<int32_t, std::string> owners;
  owners.reserve(vocab.size());
  for (const auto& [token, id] : vocab) owners.emplace(id, token);
  for (size_t i = 0; i < count; ++i) {
    const JsonField field = list->at(i);
    Token token;
    token.content = field.string("content");
    if (token.content.empty()) continue;
    const JsonField id = field.at("id");
    token.id = static_cast<int32_t>(id.integer(0, kMaxTokens - 1));
    const auto owner = owners.find(token.id);
    if (owner != owners.end() && owner->second != token.content)
      id.fail(ErrorCode::kInvalidArgument,
              std::to_string(token.id) + ", that of " + in_quotes(owner->second),
              "an id that no other token has");
    const auto known = vocab.find(token.content);
    if (known != vocab.end() && known->second != token.id)
      id.fail("the vocabulary's " + std::to_string(known->second));
    token.single_word = field.boolean("single_word", false);
    token.lstrip = field.boolean("lstrip", false);
    token.rstrip = field.boolean("rstrip", false);
    token.special = field.boolean("special", false);
    token.normalized = field.boolean("normalized", !token.special);
    token.normalized_content = token.content;
    if (token.normalized && normalizer != nullptr) normalizer->apply(token.normalized_content);
    const auto [before, is_new] = at.emplace(token.content, tokens_.size());
    if (is_new) {
      owners.emplace(token.id, token.content);
      tokens_.push_back(std::move(token));
      continue;
    }
    if (tokens_[before->second].id != token.id)
      id.fail("that of the same token before, " + std::to_string(tokens_[before->second].id));
    tokens_[before->second] = std::move(token);
  }
  for (const Token& token : tokens_)
    if (!token.normalized_content.empty())
      tries_[token.normalized ? 1 : 0].add(
          token.normalized ? token.normalized_content : token.content, &token);
}

void AddedTokens::Trie::add(std::string_view content, const Token* token) {
  if (nodes.empty()) nodes.emplace_back();
  begins[static_cast<unsigned char>(content[0])] = true;
  size_t node = 0;
  for (const char c : content) {
    const auto [child, is_new] = nodes[node].next.emplace(c, nodes.size());
    node = child->second;
    if (is_new) nodes.emplace_back();
  }
  // Two contents may be the same once normalized.
  if (nodes[node].token == nullptr) nodes[node].token = token;
}

const AddedTokens::Token* AddedTokens::Trie::longest(std::string_view text, size_t& length) const {
  const Token* found = nullptr;
  size_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto child = nodes[node].next.find(text[i]);
    if (child == nodes[node].next.end()) break;
    node = child->second;
    if (nodes[node].token != nullptr) {
      found = nodes[node].token;
      length = i + 1;
    }
  }
  return found;
}

std::vector<AddedTokens::Section> AddedTokens::sections(std::string_view text,
                                                        bool normalized) const {
  const Trie& trie = tries_[normalized ? 1 : 0];
  std::vector<Section> out;
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !trie.nodes.empty();) {
    size_t length = 0;
    const Token* token = nullptr;
    if (trie.begins[static_cast<unsigned char>(text[at])])
      token = trie.longest(text.substr(at), length);
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    at = end;
    if (token->single_word) {
      size_t before = begin, after = end;
      if ((begin > 0 && is_word(previous_char(text, before))) ||
          (end < text.size() && is_word(next_char(text, after))))
        continue;
    }
    if (token->lstrip)
      for (size_t from = begin; from > done; begin = from)
        if (!is_space(previous_char(text, from))) break;
    if (token->rstrip)
      for (size_t to = end; to < text.size(); end = to)
        if (!is_space(next_char(text, to))) break;
    if (done < begin) out.push_back({done, begin, -1});
    out.push_back({begin, end, token->id});
    // A token among the blanks that the one before has taken counts, and gives back what follows
    // it.
    done = end;
  }
  if (done != text.size()) out.push_back({done, text.size(), -1});
  return out;
}

}  // namespace attend::engine
