// Encodes and decodes for against_tokenizers.py: reads lines of JSON and answers each by one.
//   {"folder": F}                   reads F/tokenizer.json    -> {"vocab_size": n}
//   {"text": hex, "special": bool}  encodes, adding a BOS     -> {"ids": [...]}
//   {"ids": [...], "skip": bool}    decodes, at once and      -> {"text": hex,
//                                   streamed                      "pieces": [hex, ...]}
// or {"error": text}. Texts come and go as hexadecimal digits, so that any bytes may.
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "attend/error.h"
#include "strategies/engine/models/tokenizer.h"

namespace {

using attend::engine::TextStream;
using attend::engine::Tokenizer;
using nlohmann::json;

std::string hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[c & 15];
  }
  return out;
}

std::string bytes(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

json answer(const json& question, std::optional<Tokenizer>& tokenizer) {
  if (question.contains("folder")) {
    tokenizer.emplace(Tokenizer::read(question["folder"].get<std::string>()));
    return {{"vocab_size", tokenizer->vocab_size()}};
  }
  if (question.contains("text"))
    return {{"ids", tokenizer->encode(bytes(question["text"].get<std::string>()),
                                      question["special"].get<bool>())}};
  const auto ids = question["ids"].get<std::vector<int32_t>>();
  const bool skip = question["skip"].get<bool>();
  json pieces = json::array();
  TextStream stream(*tokenizer, skip);
  for (const int32_t id : ids) pieces.push_back(hex(stream.push(id)));
  pieces.push_back(hex(stream.finish()));
  return {{"text", hex(tokenizer->decode(ids, skip))}, {"pieces", pieces}};
}

}  // namespace

int main() {
  std::optional<Tokenizer> tokenizer;
  for (std::string line; std::getline(std::cin, line);) {
    json out;
    try {
      out = answer(json::parse(line), tokenizer);
    } catch (const attend::Error& e) {
      out = {{"error", e.what()}};
    }
    std::cout << out.dump() << '\n' << std::flush;
  }
  return 0;
}
