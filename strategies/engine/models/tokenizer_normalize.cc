#include "strategies/engine/models/tokenizer_normalize.h"

#include <utility>
#include <vector>

#include "strategies/engine/models/tokenizer_parts.h"
#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}
  void apply(std::string& text) const override { text = normalize(text, form_); }

 private:
  NormalForm form_;
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(std::string text) : text_(std::move(text)) {}
  void apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, text_);
  }

 private:
  std::string text_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  explicit ReplaceNormalizer(const JsonField& field) : replace_(field) {}
  void apply(std::string& text) const override { replace_.apply(text); }

 private:
  Replace replace_;
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<const Normalizer>> members)
      : members_(std::move(members)) {}
  void apply(std::string& text) const override {
    for (const auto& member : members_) member->apply(text);
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> members_;
};

std::unique_ptr<const Normalizer> read(const JsonField& field, int depth) {
  const std::string& type = type_of(field);
  if (type == "NFC") return std::make_unique<FormNormalizer>(NormalForm::kNfc);
  if (type == "NFD") return std::make_unique<FormNormalizer>(NormalForm::kNfd);
  if (type == "NFKC") return std::make_unique<FormNormalizer>(NormalForm::kNfkc);
  if (type == "NFKD") return std::make_unique<FormNormalizer>(NormalForm::kNfkd);
  if (type == "Prepend") return std::make_unique<PrependNormalizer>(field.string("prepend"));
  if (type == "Replace") return std::make_unique<ReplaceNormalizer>(field);
  if (type != "Sequence") refuse_type(field, "NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence");
  const JsonField members = members_of(field, "normalizers", depth);
  std::vector<std::unique_ptr<const Normalizer>> read_members;
  for (size_t i = 0; i < members.array_size(); ++i)
    read_members.push_back(read(members.at(i), depth + 1));
  return std::make_unique<NormalizerSequence>(std::move(read_members));
}

}  // namespace

std::unique_ptr<const Normalizer> read_normalizer(const JsonField& field) { return read(field, 0); }

}  // namespace attend::engine
