#pragma once
#include <memory>
#include <string>
#include <vector>

#include "strategies/engine/models/json_field.h"

namespace attend::engine {

// A step from tokens to text. It is fed a text's tokens in any number of portions and yields the
// same text for all of them, so that what streams is what is decoded at once.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  // What these tokens become; `end` says that none will follow.
  virtual void run(std::vector<std::string>& tokens, bool end) = 0;
};

// The decoder of tokenizer.json: a recipe for the steps of a text.
class Decoder {
 public:
  using Steps = std::vector<std::unique_ptr<DecodeStep>>;
  virtual ~Decoder() = default;
  virtual void add_steps(Steps& steps) const = 0;
};

// ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip; none joins tokens by blanks.
//   errors   kUnsupported for another type, by name
std::unique_ptr<const Decoder> read_decoder(const JsonField& root);

}  // namespace attend::engine
