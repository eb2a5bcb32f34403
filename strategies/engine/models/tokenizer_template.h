#pragma once
#include <cstdint>
#include <vector>

#include "strategies/engine/models/json_field.h"

namespace attend::engine {

// What the post_processor of tokenizer.json puts around a text.
struct TextTemplate {
  std::vector<int32_t> before, after;
};

// ByteLevel (which is about offsets alone), TemplateProcessing, Sequence; none puts nothing.
//   errors   kUnsupported for another type, by name
TextTemplate read_template(const JsonField& root);

}  // namespace attend::engine
