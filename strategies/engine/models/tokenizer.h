#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attend::engine {

// The BPE of a tokenizer.json, byte-level or with byte fallback, ids and text as the tokenizers
// package has them. const use from several threads is fine.
//   model           BPE, without dropout and without prefixes or suffixes of subwords
//   normalizer      NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence
//   pre_tokenizer   ByteLevel, Digits, Metaspace, Sequence, Split
//   decoder         ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip
//   post_processor  ByteLevel, TemplateProcessing, Sequence
// Truncation and padding are not read: cutting and filling are the engine's.
class Tokenizer {
 public:
  // Reads <folder>/tokenizer.json.
  //   errors   kInvalidArgument naming the file, the field and what is amiss; kUnsupported for
  //            what is not listed above, by name
  static Tokenizer read(const std::string& folder);
  // Whether the folder has a tokenizer.json.
  static bool present(const std::string& folder);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // add_special: whether the post-processor's own tokens (a BOS) are put around the text. Special
  // tokens written in the text are recognised either way. Bytes that are not valid UTF-8 become
  // U+FFFD.
  //   errors   kInvalidArgument when the unknown token is needed and missing, or a pattern gives
  //            up; kOutOfRange for a text of 2 GiB
  std::vector<int32_t> encode(std::string_view text, bool add_special = true) const;
  // Bytes that are not valid UTF-8 become U+FFFD; ids without a token add nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  int32_t vocab_size() const noexcept;  // highest id + 1, added tokens included
  // -1 where there is no such token.
  int32_t id_of(std::string_view token) const;

 private:
  friend class TextStream;
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Text as its tokens come, complete characters only: bytes that may yet become one wait. All pieces
// together are what decode makes of the ids.
class TextStream {
 public:
  // The tokenizer must outlive it, and may not be moved meanwhile.
  explicit TextStream(const Tokenizer& tokenizer, bool skip_special = true);
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;
  ~TextStream();

  // What this token adds, possibly nothing.
  std::string push(int32_t id);
  // What still waits, at the end. Another text may follow.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attend::engine
