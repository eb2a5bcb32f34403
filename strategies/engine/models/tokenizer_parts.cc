#include "strategies/engine/models/tokenizer_parts.h"

#include <array>

#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

struct ByteLevelTables {
  std::array<std::string, 256> character;  // of a byte
  std::array<int, 324> byte{};             // of a character; -1 = none

  ByteLevelTables() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool shows = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t c = shows ? static_cast<char32_t>(b) : next++;
      append_char(c, character[static_cast<size_t>(b)]);
      byte[c] = b;
    }
  }
};

const ByteLevelTables& tables() {
  static const ByteLevelTables built;
  return built;
}

}  // namespace

const std::string& type_of(const JsonField& part) { return part.string("type"); }

void refuse_type(const JsonField& part, const std::string& known) {
  part.at("type").unsupported("one of " + known);
}

JsonField members_of(const JsonField& sequence, const std::string& name, int depth) {
  constexpr int kDeepest = 16;
  if (depth >= kDeepest)
    sequence.fail(ErrorCode::kInvalidArgument, "inside " + std::to_string(depth) + " sequences",
                  "fewer");
  JsonField members = sequence.at(name);
  members.array_size();
  return members;
}

Regex read_pattern(const JsonField& part) {
  const JsonField pattern = part.at("pattern");
  pattern.expect_object();
  if (const auto text = pattern.find("String")) return Regex::literal(text->string());
  const JsonField regex = pattern.at("Regex");
  try {
    return Regex::pattern(regex.string());
  } catch (const Error& e) {
    regex.rethrow(e);
  }
}

Replace::Replace(const JsonField& part)
    : pattern_(read_pattern(part)), content_(part.string("content")) {}

void Replace::apply(std::string& text) const {
  if (text.empty()) return;  // where an empty pattern would match
  std::vector<TextRange> matches;
  pattern_.find_all(text, matches);
  if (matches.empty()) return;
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (const TextRange& match : matches) {
    out.append(text, done, match.begin - done).append(content_);
    done = match.end;
  }
  out.append(text, done);
  text = std::move(out);
}

Metaspace::Metaspace(const JsonField& part) : replacement(part.string("replacement")) {
  size_t at = 0;
  if (!replacement.empty()) next_char(replacement, at);
  if (at == 0 || at != replacement.size()) part.at("replacement").fail("one character");
  if (const auto scheme = part.find("prepend_scheme")) {
    const std::string& name = scheme->string();
    prepend = name == "first"   ? Prepend::kFirst
              : name == "never" ? Prepend::kNever
                                : Prepend::kAlways;
    if (name != "always" && prepend == Prepend::kAlways)
      scheme->fail("\"always\", \"first\" or \"never\"");
  }
  // What older files have instead.
  if (!part.boolean("add_prefix_space", true)) prepend = Prepend::kNever;
  split = part.boolean("split", true);
}

void append_byte_level(std::string_view bytes, std::string& out) {
  const auto& characters = tables().character;
  for (const char byte : bytes) out += characters[static_cast<unsigned char>(byte)];
}

void append_bytes(std::string_view byte_level, std::string& out) {
  const auto& bytes = tables().byte;
  const size_t begin = out.size();
  for (size_t at = 0; at < byte_level.size();) {
    const char32_t c = next_char(byte_level, at);
    if (c >= bytes.size() || bytes[c] < 0) {
      out.resize(begin);
      out += byte_level;
      return;
    }
    out += static_cast<char>(bytes[c]);
  }
}

}  // namespace attend::engine
