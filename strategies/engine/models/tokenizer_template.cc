#include "strategies/engine/models/tokenizer_template.h"

#include "strategies/engine/models/tokenizer_bpe.h"
#include "strategies/engine/models/tokenizer_parts.h"

namespace attend::engine {
namespace {

void append_special(const JsonField& field, const std::string& name, std::vector<int32_t>& out) {
  const JsonField ids = field.at("special_tokens").at(name).at("ids");
  for (size_t i = 0; i < ids.array_size(); ++i)
    out.push_back(static_cast<int32_t>(ids.at(i).integer(0, kMaxTokens - 1)));
}

// The template "single": a list of {"SpecialToken": {"id": name}} and once {"Sequence": {"id":
// "A"}}.
TextTemplate read_single(const JsonField& field) {
  TextTemplate out;
  const JsonField single = field.at("single");
  size_t texts = 0;
  for (size_t i = 0; i < single.array_size(); ++i) {
    const JsonField piece = single.at(i);
    piece.expect_object();
    if (const auto special = piece.find("SpecialToken")) {
      append_special(field, special->string("id"), texts == 0 ? out.before : out.after);
      continue;
    }
    const JsonField id = piece.at("Sequence").at("id");
    if (id.string() != "A") id.fail("\"A\", the one text");
    ++texts;
  }
  if (texts != 1)
    single.fail(ErrorCode::kUnsupported,
                "a template with the text " + std::to_string(texts) + " times", "it once");
  return out;
}

void read(const JsonField& field, int depth, size_t& templates, TextTemplate& out) {
  const std::string& type = type_of(field);
  if (type == "ByteLevel") return;
  if (type == "TemplateProcessing") {
    if (templates++ > 0)
      field.fail(ErrorCode::kUnsupported, "a second TemplateProcessing", "one at most");
    out = read_single(field);
    return;
  }
  if (type != "Sequence") refuse_type(field, "ByteLevel, TemplateProcessing, Sequence");
  const JsonField members = members_of(field, "processors", depth);
  for (size_t i = 0; i < members.array_size(); ++i) read(members.at(i), depth + 1, templates, out);
}

}  // namespace

TextTemplate read_template(const JsonField& root) {
  TextTemplate out;
  size_t templates = 0;
  if (const auto field = root.find("post_processor")) read(*field, 0, templates, out);
  return out;
}

}  // namespace attend::engine
