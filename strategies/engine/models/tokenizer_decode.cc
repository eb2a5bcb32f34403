#include "strategies/engine/models/tokenizer_decode.h"

#include <algorithm>
#include <utility>

#include "strategies/engine/models/tokenizer_parts.h"
#include "strategies/engine/models/tokenizer_unicode.h"

namespace attend::engine {
namespace {

std::string join(const std::vector<std::string>& tokens) {
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
}

void put(std::vector<std::string>& tokens, std::string text) {
  tokens.clear();
  if (!text.empty()) tokens.push_back(std::move(text));
}

// Without a decoder.
class JoinStep : public DecodeStep {
 public:
  void run(std::vector<std::string>& tokens, bool) override {
    for (std::string& token : tokens)
      if (!std::exchange(is_first_, false)) token.insert(0, 1, ' ');
  }

 private:
  bool is_first_ = true;
};

class FuseStep : public DecodeStep {
 public:
  void run(std::vector<std::string>& tokens, bool) override { put(tokens, join(tokens)); }
};

class ByteLevelStep : public DecodeStep {
 public:
  void run(std::vector<std::string>& tokens, bool end) override {
    for (const std::string& token : tokens) append_bytes(token, bytes_);
    std::string text;
    bytes_.erase(0, append_utf8(bytes_, end, text));
    put(tokens, std::move(text));
  }

 private:
  std::string bytes_;  // of a character that is not complete
};

// A run of tokens like <0x0A>: the text that its bytes are or, where they are none, U+FFFD for
// each. What a run is worth shows at its end, so it waits.
class ByteFallbackStep : public DecodeStep {
 public:
  void run(std::vector<std::string>& tokens, bool end) override {
    std::vector<std::string> out;
    for (std::string& token : tokens) {
      const int byte = byte_of(token);
      if (byte >= 0) {
        run_ += static_cast<char>(byte);
      } else {
        flush(out);
        out.push_back(std::move(token));
      }
    }
    if (end) flush(out);
    tokens = std::move(out);
  }

 private:
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const auto digit = [](char c) {
      if (c >= '0' && c <= '9') return c - '0';
      c = static_cast<char>(c | 0x20);
      return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    };
    const int high = digit(token[3]), low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
  void flush(std::vector<std::string>& out) {
    if (run_.empty()) return;
    if (valid_utf8(run_) == run_)
      out.push_back(std::move(run_));
    else
      out.insert(out.end(), run_.size(), "\xEF\xBF\xBD");
    run_.clear();
  }

  std::string run_;
};

class ReplaceStep : public DecodeStep {
 public:
  explicit ReplaceStep(const Replace& replace) : replace_(&replace) {}
  void run(std::vector<std::string>& tokens, bool) override {
    for (std::string& token : tokens) replace_->apply(token);
  }

 private:
  const Replace* replace_;
};

class MetaspaceStep : public DecodeStep {
 public:
  explicit MetaspaceStep(const Metaspace& metaspace) : metaspace_(&metaspace) {}
  void run(std::vector<std::string>& tokens, bool) override {
    for (std::string& token : tokens) {
      const bool drops =
          std::exchange(is_first_, false) && metaspace_->prepend != Metaspace::Prepend::kNever;
      const std::string& mark = metaspace_->replacement;
      std::string out;
      size_t done = 0;
      for (size_t at; (at = token.find(mark, done)) != std::string::npos; done = at + mark.size()) {
        out.append(token, done, at - done);
        if (!drops) out += ' ';
      }
      token = out.append(token, done);
    }
  }

 private:
  const Metaspace* metaspace_;
  bool is_first_ = true;
};

struct Strip {
  std::string content;  // one character
  size_t start = 0, stop = 0;
};

// Up to `start` characters at a token's begin and `stop` at its end go, as far as they are
// `content`.
class StripStep : public DecodeStep {
 public:
  explicit StripStep(const Strip& strip) : strip_(&strip) {}
  void run(std::vector<std::string>& tokens, bool) override {
    for (std::string& token : tokens) {
      const std::string& mark = strip_->content;
      size_t begin = 0, end = token.size();
      for (size_t i = 0; i < strip_->start && token.compare(begin, mark.size(), mark) == 0; ++i)
        begin += mark.size();
      const auto ends = [&] {
        return end - begin >= mark.size() &&
               token.compare(end - mark.size(), mark.size(), mark) == 0;
      };
      for (size_t i = 0; i < strip_->stop && ends(); ++i) end -= mark.size();
      token = token.substr(begin, end - begin);
    }
  }

 private:
  const Strip* strip_;
};

// The same where everything is one token, which comes in portions.
class StripTextStep : public DecodeStep {
 public:
  explicit StripTextStep(const Strip& strip) : strip_(&strip), left_(strip.start) {}
  void run(std::vector<std::string>& tokens, bool end) override {
    const std::string& mark = strip_->content;
    std::string text = std::move(kept_) + join(tokens);
    kept_.clear();
    size_t begin = 0;
    while (left_ > 0 && begin < text.size()) {
      if (text.compare(begin, mark.size(), mark) != 0) {
        left_ = 0;
      } else {
        begin += mark.size();
        --left_;
      }
    }
    size_t stop = text.size();
    for (size_t i = 0; i < strip_->stop && stop - begin >= mark.size() &&
                       text.compare(stop - mark.size(), mark.size(), mark) == 0;
         ++i)
      stop -= mark.size();
    if (!end) kept_ = text.substr(stop);
    put(tokens, text.substr(begin, stop - begin));
  }

 private:
  const Strip* strip_;
  size_t left_;       // that may still go at the begin
  std::string kept_;  // what goes if nothing follows
};

// A step whose recipe is a value.
template <class Step, class Recipe>
class DecoderOf : public Decoder {
 public:
  explicit DecoderOf(Recipe recipe) : recipe_(std::move(recipe)) {}
  void add_steps(Steps& steps) const override { steps.push_back(std::make_unique<Step>(recipe_)); }

 private:
  Recipe recipe_;
};

template <class Step>
class PlainDecoder : public Decoder {
 public:
  void add_steps(Steps& steps) const override { steps.push_back(std::make_unique<Step>()); }
};

class DecoderSequence : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<const Decoder>> members)
      : members_(std::move(members)) {}
  void add_steps(Steps& steps) const override {
    for (const auto& member : members_) member->add_steps(steps);
  }

 private:
  std::vector<std::unique_ptr<const Decoder>> members_;
};

Strip read_strip(const JsonField& field) {
  constexpr int64_t kMost = 1 << 20;
  Strip strip{field.string("content"), static_cast<size_t>(field.at("start").integer(0, kMost)),
              static_cast<size_t>(field.at("stop").integer(0, kMost))};
  size_t at = 0;
  if (!strip.content.empty()) next_char(strip.content, at);
  if (at == 0 || at != strip.content.size()) field.at("content").fail("one character");
  return strip;
}

// fused: whether the steps before make one token of all, of which this one sees portions.
std::unique_ptr<const Decoder> read(const JsonField& field, int depth, bool& fused) {
  const std::string& type = type_of(field);
  if (type == "Fuse" || type == "ByteLevel") {
    if (fused && type == "ByteLevel")
      field.fail(ErrorCode::kUnsupported, "a ByteLevel behind what fuses", "it before");
    fused = true;
    if (type == "Fuse") return std::make_unique<PlainDecoder<FuseStep>>();
    return std::make_unique<PlainDecoder<ByteLevelStep>>();
  }
  if (type == "Strip") {
    if (fused) return std::make_unique<DecoderOf<StripTextStep, Strip>>(read_strip(field));
    return std::make_unique<DecoderOf<StripStep, Strip>>(read_strip(field));
  }
  if (type == "Sequence") {
    const JsonField members = members_of(field, "decoders", depth);
    std::vector<std::unique_ptr<const Decoder>> read_members;
    for (size_t i = 0; i < members.array_size(); ++i)
      read_members.push_back(read(members.at(i), depth + 1, fused));
    return std::make_unique<DecoderSequence>(std::move(read_members));
  }
  const bool known = type == "ByteFallback" || type == "Metaspace" || type == "Replace";
  if (!known)
    refuse_type(field, "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip");
  if (fused) field.fail(ErrorCode::kUnsupported, "a " + type + " behind what fuses", "it before");
  if (type == "ByteFallback") return std::make_unique<PlainDecoder<ByteFallbackStep>>();
  if (type == "Metaspace")
    return std::make_unique<DecoderOf<MetaspaceStep, Metaspace>>(Metaspace(field));
  return std::make_unique<DecoderOf<ReplaceStep, Replace>>(Replace(field));
}

}  // namespace

std::unique_ptr<const Decoder> read_decoder(const JsonField& root) {
  bool fused = false;
  if (const auto field = root.find("decoder")) return read(*field, 0, fused);
  return std::make_unique<PlainDecoder<JoinStep>>();
}

}  // namespace attend::engine
