#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attend::engine {

// Byte-level BPE as tokenizer.json describes it.
class Tokenizer {
 public:
  // Reads <folder>/tokenizer.json.
  //   errors   kInvalidArgument naming the file and what is amiss; kUnsupported for a model, a
  //            normaliser, a pre-tokeniser or a decoder that is not here, by name
  static Tokenizer read(const std::string& folder);
  // Whether the folder has a tokenizer.json.
  static bool present(const std::string& folder);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // add_special: whether the post-processor's own tokens (a BOS) are put around the text. Special
  // tokens written in the text are recognised either way.
  std::vector<int32_t> encode(std::string_view text, bool add_special = true) const;
  // Bytes that are not valid UTF-8 become U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  int32_t vocab_size() const noexcept;  // highest id + 1, added tokens included
  // -1 where there is no such token.
  int32_t id_of(std::string_view token) const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Text as its tokens come, complete characters only: bytes that may yet become one wait.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  // What this token adds, possibly nothing.
  std::string push(int32_t id);
  // What still waits, at the end.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::vector<int32_t> ids_;
  size_t begin_ = 0, read_ = 0;  // ids whose text is the context, ids whose text is out
};

}  // namespace attend::engine
