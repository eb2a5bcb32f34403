#pragma once
#include <string>
#include <string_view>

#include "strategies/engine/models/json_field.h"
#include "strategies/engine/models/tokenizer_regex.h"

// What several parts of tokenizer.json (normalizer, pre-tokenizer, decoder, post-processor) share.
namespace attend::engine {

// A part's field "type".
const std::string& type_of(const JsonField& part);
// kUnsupported, naming the type and those that are known.
[[noreturn]] void refuse_type(const JsonField& part, const std::string& known);
// The members of a Sequence at that depth, an array of that name. Too deep a one is an error.
JsonField members_of(const JsonField& sequence, const std::string& name, int depth);

// The field "pattern": {"String": text} or {"Regex": pattern}.
Regex read_pattern(const JsonField& part);

// Replace is a normalizer as well as a decoder.
class Replace {
 public:
  explicit Replace(const JsonField& part);
  void apply(std::string& text) const;

 private:
  Regex pattern_;
  std::string content_;
};

// Metaspace is a pre-tokenizer as well as a decoder.
struct Metaspace {
  explicit Metaspace(const JsonField& part);

  enum class Prepend { kAlways, kFirst, kNever };
  std::string replacement;  // one character, usually U+2581
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};

// The characters that stand for bytes in byte-level vocabularies: printable ones for themselves,
// the others, blanks among them, for U+0100 and up.
void append_byte_level(std::string_view bytes, std::string& out);
// The bytes; or where a character stands for none, the text as it is.
void append_bytes(std::string_view byte_level, std::string& out);

}  // namespace attend::engine
