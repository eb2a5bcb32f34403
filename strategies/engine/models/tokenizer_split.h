#pragma once
#include <memory>
#include <string>
#include <vector>

#include "strategies/engine/models/json_field.h"
#include "strategies/engine/models/tokenizer_regex.h"

namespace attend::engine {

// A text cut into words, ranges of it one behind the other. Empty ones are none.
struct Words {
  std::string text;
  std::vector<TextRange> ranges;
  bool leads = false;  // the first word begins where what the user wrote begins
};

// The pre_tokenizer of tokenizer.json: cuts words into smaller ones, and may write them otherwise.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Words& words) const = 0;
};

// ByteLevel, Digits, Metaspace, Sequence, Split.
//   errors   kUnsupported for another type, by name
std::unique_ptr<const PreTokenizer> read_pre_tokenizer(const JsonField& field);

// What becomes of the matches of a pattern.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// The parts of text[0, size), given the matches in it, ascending.
std::vector<TextRange> split(const std::vector<TextRange>& matches, size_t size,
                             SplitBehavior behavior, bool invert);

}  // namespace attend::engine
