#include "strategies/engine/models/tokenizer.h"

#include <filesystem>
#include <utility>

#include "strategies/engine/models/json_field.h"
#include "strategies/engine/models/tokenizer_added.h"
#include "strategies/engine/models/tokenizer_bpe.h"
#include "strategies/engine/models/tokenizer_decode.h"
#include "strategies/engine/models/tokenizer_normalize.h"
#include "strategies/engine/models/tokenizer_split.h"
#include "strategies/engine/models/tokenizer_template.h"
#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

std::string file_of(const std::string& folder) {
  return (std::filesystem::path(folder) / "tokenizer.json").string();
}

template <class Part, class Read>
std::unique_ptr<const Part> part(const JsonField& root, const char* name, Read read) {
  const auto field = root.find(name);
  return field ? read(*field) : nullptr;
}

}  // namespace

struct Tokenizer::State {
  std::unique_ptr<const Normalizer> normalizer;
  std::unique_ptr<const PreTokenizer> pre_tokenizer;
  std::unique_ptr<const Decoder> decoder;
  Bpe bpe;
  AddedTokens added;
  TextTemplate around;
  struct Token {
    std::string text;  // what decoding begins with
    bool exists = false, is_special = false;
  };
  std::vector<Token> tokens;  // by id
  StringMap<int32_t> added_ids;

  explicit State(const JsonField& root)
      : normalizer(part<Normalizer>(root, "normalizer", read_normalizer)),
        pre_tokenizer(part<PreTokenizer>(root, "pre_tokenizer", read_pre_tokenizer)),
        decoder(read_decoder(root)),
        bpe(root.at("model")),
        added(root, bpe.vocab(), normalizer.get()),
        around(read_template(root)) {
    const auto put = [&](int32_t id, Token token) {
      const auto at = static_cast<size_t>(id);
      if (at >= tokens.size()) tokens.resize(at + 1);
      tokens[at] = std::move(token);
    };
    for (const auto& [text, id] : bpe.vocab()) put(id, {text, true, false});
    for (const auto& token : added.tokens()) {
      put(token.id, {token.normalized_content, true, token.special});
      added_ids.emplace(token.content, token.id);
    }
  }

  // The text of the tokens among ids.
  std::vector<std::string> texts(std::span<const int32_t> ids, bool skip_special) const {
    std::vector<std::string> out;
    out.reserve(ids.size());
    for (const int32_t id : ids) {
      if (id < 0 || static_cast<size_t>(id) >= tokens.size()) continue;
      const Token& token = tokens[static_cast<size_t>(id)];
      if (token.exists && !(skip_special && token.is_special)) out.push_back(token.text);
    }
    return out;
  }

  // Text in which no more added tokens are looked for.
  void encode_words(std::string text, bool leads, Bpe::Words& bpe_words,
                    std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    const size_t size = text.size();
    Words words{std::move(text), {{0, size}}, leads};
    if (pre_tokenizer) pre_tokenizer->apply(words);
    for (const TextRange& word : words.ranges)
      bpe_words.encode(std::string_view(words.text).substr(word.begin, word.end - word.begin), ids);
  }
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

bool Tokenizer::present(const std::string& folder) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(file_of(folder), ignored);
}

Tokenizer Tokenizer::read(const std::string& folder) {
  const JsonFile file(file_of(folder));
  const JsonField root = file.root();
  if (const auto version = root.find("version"); version && version->string() != "1.0")
    version->unsupported("\"1.0\"");
  return Tokenizer(std::make_unique<State>(root));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
  constexpr size_t kMost = size_t{1} << 31;
  if (text.size() >= kMost)
    throw Error(ErrorCode::kOutOfRange, "encode: text size is " + std::to_string(text.size()) +
                                            " bytes, expected less than 2 GiB");
  const std::string whole = valid_utf8(text);
  std::vector<int32_t> ids;
  if (add_special) ids = state_->around.before;
  Bpe::Words bpe_words(state_->bpe);
  for (const auto& outer : state_->added.sections(whole, false)) {
    if (outer.id >= 0) {
      ids.push_back(outer.id);
      continue;
    }
    std::string section = whole.substr(outer.begin, outer.end - outer.begin);
    if (state_->normalizer) state_->normalizer->apply(section);
    for (const auto& inner : state_->added.sections(section, true))
      if (inner.id >= 0)
        ids.push_back(inner.id);
      else
        state_->encode_words(section.substr(inner.begin, inner.end - inner.begin),
                             outer.begin == 0 && inner.begin == 0, bpe_words, ids);
  }
  if (add_special) ids.insert(ids.end(), state_->around.after.begin(), state_->around.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens = state_->texts(ids, skip_special);
  Decoder::Steps steps;
  state_->decoder->add_steps(steps);
  for (const auto& step : steps) step->run(tokens, true);
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
}

int32_t Tokenizer::vocab_size() const noexcept {
  return static_cast<int32_t>(state_->tokens.size());
}

int32_t Tokenizer::id_of(std::string_view token) const {
  if (const auto found = state_->added_ids.find(token); found != state_->added_ids.end())
    return found->second;
  const auto found = state_->bpe.vocab().find(token);
  return found == state_->bpe.vocab().end() ? -1 : found->second;
}

struct TextStream::State {
  const Tokenizer::State* tokenizer;
  bool skip_special;
  Decoder::Steps steps;

  std::string run(std::vector<std::string> tokens, bool end) {
    if (steps.empty()) tokenizer->decoder->add_steps(steps);
    for (const auto& step : steps) step->run(tokens, end);
    std::string out;
    for (const std::string& token : tokens) out += token;
    return out;
  }
};

TextStream::TextStream(const Tokenizer& tokenizer, bool skip_special)
    : state_(new State{tokenizer.state_.get(), skip_special, {}}) {}
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;
TextStream::~TextStream() = default;

std::string TextStream::push(int32_t id) {
  return state_->run(state_->tokenizer->texts({&id, 1}, state_->skip_special), false);
}

std::string TextStream::finish() {
  std::string out = state_->run({}, true);
  state_->steps.clear();
  return out;
}

}  // namespace attend::engine
