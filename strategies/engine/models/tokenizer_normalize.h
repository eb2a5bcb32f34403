#pragma once
#include <memory>
#include <string>

#include "strategies/engine/models/json_field.h"

namespace attend::engine {

// The normalizer of tokenizer.json: what is done to the text before it is cut.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(std::string& text) const = 0;
};

// NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence.
//   errors   kUnsupported for another type, by name
std::unique_ptr<const Normalizer> read_normalizer(const JsonField& field);

}  // namespace attend::engine
