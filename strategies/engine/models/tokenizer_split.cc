#include "strategies/engine/models/tokenizer_split.h"

#include <utility>

#include "strategies/engine/models/tokenizer_parts.h"
#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

struct Part {
  TextRange range;
  bool is_match = false;
};

// Matches and what is between them.
std::vector<Part> parts_of(const std::vector<TextRange>& matches, size_t size, bool invert) {
  std::vector<Part> parts;
  size_t done = 0;
  for (const TextRange& match : matches) {
    if (match.begin != done) parts.push_back({{done, match.begin}, invert});
    parts.push_back({match, !invert});
    done = match.end;
  }
  if (done != size) parts.push_back({{done, size}, invert});
  return parts;
}

// Each word becomes what `cut(word, matches)` finds in it.
template <class Cut>
void split_words(Words& words, SplitBehavior behavior, bool invert, const Cut& cut) {
  std::vector<TextRange> out, matches;
  out.reserve(words.ranges.size());
  const size_t begin = words.ranges.empty() ? 0 : words.ranges[0].begin;
  for (const TextRange& word : words.ranges) {
    matches.clear();
    cut(std::string_view(words.text).substr(word.begin, word.end - word.begin), matches);
    for (const TextRange& part : split(matches, word.end - word.begin, behavior, invert))
      if (part.begin != part.end) out.push_back({word.begin + part.begin, word.begin + part.end});
  }
  words.ranges = std::move(out);
  words.leads = words.leads && !words.ranges.empty() && words.ranges[0].begin == begin;
}

// Each word becomes what `write(word, index, out)` appends.
template <class Write>
void rewrite_words(Words& words, const Write& write) {
  std::string out;
  out.reserve(words.text.size() + words.text.size() / 4);
  for (size_t i = 0; i < words.ranges.size(); ++i) {
    TextRange& range = words.ranges[i];
    const size_t begin = out.size();
    write(std::string_view(words.text).substr(range.begin, range.end - range.begin), i, out);
    range = {begin, out.size()};
  }
  words.text = std::move(out);
}

class SplitPreTokenizer : public PreTokenizer {
 public:
  explicit SplitPreTokenizer(const JsonField& field)
      : pattern_(read_pattern(field)), invert_(field.boolean("invert", false)) {
    const JsonField behavior = field.at("behavior");
    static const std::pair<const char*, SplitBehavior> names[] = {
        {"Removed", SplitBehavior::kRemoved},
        {"Isolated", SplitBehavior::kIsolated},
        {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
        {"MergedWithNext", SplitBehavior::kMergedWithNext},
        {"Contiguous", SplitBehavior::kContiguous}};
    for (const auto& [name, value] : names)
      if (behavior.string() == name) {
        behavior_ = value;
        return;
      }
    behavior.fail("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
  }
  void apply(Words& words) const override {
    split_words(words, behavior_, invert_,
                [&](std::string_view word, auto& matches) { pattern_.find_all(word, matches); });
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_ = SplitBehavior::kIsolated;
  bool invert_;
};

class DigitsPreTokenizer : public PreTokenizer {
 public:
  explicit DigitsPreTokenizer(const JsonField& field)
      : behavior_(field.boolean("individual_digits", false) ? SplitBehavior::kIsolated
                                                            : SplitBehavior::kContiguous) {}
  void apply(Words& words) const override {
    split_words(words, behavior_, false, [](std::string_view word, auto& matches) {
      for (size_t at = 0; at < word.size();) {
        const size_t begin = at;
        if (is_numeric(next_char(word, at))) matches.push_back({begin, at});
      }
    });
  }

 private:
  SplitBehavior behavior_;
};

class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  explicit ByteLevelPreTokenizer(const JsonField& field)
      : add_prefix_space_(field.at("add_prefix_space").boolean()),
        use_regex_(field.boolean("use_regex", true)) {}
  void apply(Words& words) const override {
    static const Regex gpt2 = Regex::pattern(
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
    if (add_prefix_space_)
      rewrite_words(words, [](std::string_view word, size_t, std::string& out) {
        if (!word.starts_with(' ')) out += ' ';
        out += word;
      });
    if (use_regex_)
      split_words(words, SplitBehavior::kIsolated, false,
                  [&](std::string_view word, auto& matches) { gpt2.find_all(word, matches); });
    rewrite_words(words, [](std::string_view word, size_t, std::string& out) {
      append_byte_level(word, out);
    });
  }

 private:
  bool add_prefix_space_, use_regex_;
};

class MetaspacePreTokenizer : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(const JsonField& field)
      : metaspace_(field), mark_(Regex::literal(metaspace_.replacement)) {}
  void apply(Words& words) const override {
    const std::string& mark = metaspace_.replacement;
    rewrite_words(words, [&](std::string_view word, size_t i, std::string& out) {
      const bool wanted =
          metaspace_.prepend == Metaspace::Prepend::kAlways ||
          (metaspace_.prepend == Metaspace::Prepend::kFirst && i == 0 && words.leads);
      if (wanted && !word.starts_with(' ') && !word.starts_with(mark)) out += mark;
      for (const char c : word)
        if (c == ' ')
          out += mark;
        else
          out += c;
    });
    if (metaspace_.split)
      split_words(words, SplitBehavior::kMergedWithNext, false,
                  [&](std::string_view word, auto& matches) { mark_.find_all(word, matches); });
  }

 private:
  Metaspace metaspace_;
  Regex mark_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<const PreTokenizer>> members)
      : members_(std::move(members)) {}
  void apply(Words& words) const override {
    for (const auto& member : members_) member->apply(words);
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> members_;
};

std::unique_ptr<const PreTokenizer> read(const JsonField& field, int depth) {
  const std::string& type = type_of(field);
  if (type == "ByteLevel") return std::make_unique<ByteLevelPreTokenizer>(field);
  if (type == "Digits") return std::make_unique<DigitsPreTokenizer>(field);
  if (type == "Metaspace") return std::make_unique<MetaspacePreTokenizer>(field);
  if (type == "Split") return std::make_unique<SplitPreTokenizer>(field);
  if (type != "Sequence") refuse_type(field, "ByteLevel, Digits, Metaspace, Sequence, Split");
  const JsonField members = members_of(field, "pretokenizers", depth);
  std::vector<std::unique_ptr<const PreTokenizer>> read_members;
  for (size_t i = 0; i < members.array_size(); ++i)
    read_members.push_back(read(members.at(i), depth + 1));
  return std::make_unique<PreTokenizerSequence>(std::move(read_members));
}

}  // namespace

std::vector<TextRange> split(const std::vector<TextRange>& matches, size_t size,
                             SplitBehavior behavior, bool invert) {
  const std::vector<Part> parts = parts_of(matches, size, invert);
  std::vector<TextRange> out;
  out.reserve(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const bool after_match = i > 0 && parts[i - 1].is_match;
    bool joins = false;  // the one before
    switch (behavior) {
      case SplitBehavior::kRemoved:
        if (part.is_match) continue;
        break;
      case SplitBehavior::kIsolated: break;
      case SplitBehavior::kContiguous: joins = i > 0 && part.is_match == after_match; break;
      case SplitBehavior::kMergedWithPrevious:
        joins = i > 0 && part.is_match && !after_match;
        break;
      // Of several matches in a row the last goes with what follows.
      case SplitBehavior::kMergedWithNext: joins = i > 0 && after_match && !part.is_match; break;
    }
    if (joins)
      out.back().end = part.range.end;
    else
      out.push_back(part.range);
  }
  return out;
}

std::unique_ptr<const PreTokenizer> read_pre_tokenizer(const JsonField& field) {
  return read(field, 0);
}

}  // namespace attend::engine
