#include "strategies/engine/models/tokenizer_bpe.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {

Bpe::Bpe(const JsonField& model) {
  if (const auto type = model.find("type"); type && type->string() != "BPE")
    type->unsupported("\"BPE\"");
  if (const auto dropout = model.find("dropout")) {
    if (!dropout->value().is_number()) dropout->fail("a number or null");
    if (dropout->value().get<double>() != 0.0)
      dropout->unsupported("null; ids would be drawn by lot");
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const auto field = model.find(name); field && !field->string().empty())
      field->unsupported("null or \"\"");
  fuse_unk_ = model.boolean("fuse_unk", false);
  byte_fallback_ = model.boolean("byte_fallback", false);
  ignore_merges_ = model.boolean("ignore_merges", false);
  read_vocab(model.at("vocab"));
  read_merges(model.at("merges"));

  const auto id_of = [&](std::string_view token) {
    const auto found = vocab_.find(token);
    return found == vocab_.end() ? -1 : found->second;
  };
  for (int i = 0; i < 256; ++i) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", i);
    byte_ids_[i] = id_of(name);
  }
  if (const auto unk = model.find("unk_token")) {
    unk_token_ = unk->string();
    unk_id_ = id_of(unk_token_);
    has_unk_ = true;
  }
}

void Bpe::read_vocab(const JsonField& vocab) {
  vocab.expect_object();
  vocab_.reserve(vocab.value().size());
  std::vector<bool> taken;
  for (const auto& [token, id] : vocab.value().items()) {
    const int64_t number =
        id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(kMaxTokens)
            ? id.get<int64_t>()
            : vocab.at(token).integer(0, kMaxTokens - 1);
    const auto index = static_cast<size_t>(number);
    if (index >= taken.size()) taken.resize(std::max(index + 1, 2 * taken.size()));
    if (taken[index])
      vocab.at(token).fail(ErrorCode::kInvalidArgument, std::to_string(number),
                           "an id that no other token has");
    taken[index] = true;
    vocab_.emplace(token, static_cast<int32_t>(number));
  }
}

// Each is "left right" or ["left", "right"].
void Bpe::read_merges(const JsonField& merges) {
  const size_t count = merges.array_size();
  merges_.reserve(count);
  uint32_t rank = 0;
  std::string merged;
  for (size_t i = 0; i < count; ++i) {
    const auto& merge = merges.value()[i];
    std::string_view left, right;
    if (merge.is_string()) {
      const std::string_view both = merge.get_ref<const std::string&>();
      if (both.starts_with("#version")) continue;
      const size_t space = both.find(' ');
      if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos)
        merges.at(i).fail("two tokens with one space between them");
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else {
      if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
        merges.at(i).fail("\"left right\" or [\"left\", \"right\"]");
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    }
    merged.assign(left).append(right);
    const auto id_of = [&](std::string_view token) {
      const auto found = vocab_.find(token);
      if (found == vocab_.end())
        merges.at(i).fail(ErrorCode::kInvalidArgument, "about the token " + in_quotes(token),
                          "tokens of the vocabulary");
      return found->second;
    };
    // Of a pair that is there twice the later rank counts, as in the tokenizers package.
    const uint64_t key = pair(id_of(left), id_of(right));
    merges_[key] = {rank++, id_of(merged)};
  }
}

void Bpe::Words::encode(std::string_view word, std::vector<int32_t>& ids) {
  if (word.empty()) return;
  if (bpe_->ignore_merges_) {
    if (const auto found = bpe_->vocab_.find(word); found != bpe_->vocab_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  constexpr size_t kLongest = 64;  // longer words hardly come twice
  if (const auto found = seen_.find(word); found != seen_.end()) {
    ids.insert(ids.end(), found->second.begin(), found->second.end());
    return;
  }
  cut(word);
  merge();
  const size_t begin = ids.size();
  for (const Symbol& symbol : symbols_)
    if (!symbol.is_merged) ids.push_back(symbol.id);
  if (word.size() <= kLongest)
    seen_.emplace(word,
                  std::vector<int32_t>(ids.begin() + static_cast<ptrdiff_t>(begin), ids.end()));
}

void Bpe::Words::add(int32_t id) {
  const auto here = static_cast<int32_t>(symbols_.size());
  if (here > 0) symbols_.back().next = here;
  symbols_.push_back({id, here - 1, -1, false});
}

// Whether every byte of the character has a token.
bool Bpe::Words::add_bytes(std::string_view character) {
  const auto id = [&](char byte) { return bpe_->byte_ids_[static_cast<unsigned char>(byte)]; };
  if (!std::all_of(character.begin(), character.end(), [&](char b) { return id(b) >= 0; }))
    return false;
  for (const char byte : character) add(id(byte));
  return true;
}

// Into characters. What has no token becomes bytes, or the unknown token, or nothing; an unknown
// token waits for the next known character, so bytes overtake it, as in the tokenizers package.
void Bpe::Words::cut(std::string_view word) {
  symbols_.clear();
  bool unknown = false;
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    next_char(word, at);
    const std::string_view character = word.substr(begin, at - begin);
    const auto found = bpe_->vocab_.find(character);
    if (found != bpe_->vocab_.end()) {
      if (unknown) add(bpe_->unk_id_);
      unknown = false;
      add(found->second);
      continue;
    }
    if (bpe_->byte_fallback_ && add_bytes(character)) continue;
    if (!bpe_->has_unk_) continue;
    if (bpe_->unk_id_ < 0)
      throw Error(ErrorCode::kInvalidArgument, "encode: unk_token " + in_quotes(bpe_->unk_token_) +
                                                   " is not in the vocabulary and " +
                                                   in_quotes(character) +
                                                   " needs it, expected a token of the vocabulary");
    if (unknown && !bpe_->fuse_unk_) add(bpe_->unk_id_);
    unknown = true;
  }
  if (unknown) add(bpe_->unk_id_);
}

void Bpe::Words::consider(int32_t left) {
  const Symbol& symbol = symbols_[static_cast<size_t>(left)];
  if (symbol.next < 0) return;
  const auto found =
      bpe_->merges_.find(pair(symbol.id, symbols_[static_cast<size_t>(symbol.next)].id));
  if (found != bpe_->merges_.end()) queue_.push({found->second.rank, left, found->second.id});
}

// The symbols are a linked list and the queue holds every pair that may merge: n log n for n
// characters.
void Bpe::Words::merge() {
  for (size_t i = 0; i + 1 < symbols_.size(); ++i) consider(static_cast<int32_t>(i));
  while (!queue_.empty()) {
    const Candidate best = queue_.top();
    queue_.pop();
    Symbol& left = symbols_[static_cast<size_t>(best.at)];
    if (left.is_merged || left.next < 0) continue;
    Symbol& right = symbols_[static_cast<size_t>(left.next)];
    // One of the two may have become something else since.
    const auto now = bpe_->merges_.find(pair(left.id, right.id));
    if (now == bpe_->merges_.end() || now->second.id != best.id) continue;
    left.id = best.id;
    left.next = right.next;
    right.is_merged = true;
    if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].previous = best.at;
    if (left.previous >= 0) consider(left.previous);
    consider(best.at);
  }
}

}  // namespace attend::engine
