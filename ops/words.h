#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "attend/export.h"
#include "attend/kernel.h"

// Every word of a call by its name in the contract: the one list that the C surface and the tests
// share. A field of the structs that is not here fails tests/c_api/words_test.
namespace attend {

enum class WordKind : uint8_t {
  kTensor,
  kBool,
  kInt,
  kBits,  // 64 unsigned bits; as an int64_t they are taken as they are
  kFloat,
  kEnum,      // by name
  kCallback,  // init_bias
  kTransport  // ring_transport
};
ATTEND_API const char* name(WordKind kind) noexcept;  // "tensor", "bool", "int", ...

// What a word is set to. Empty = as it was before it was set.
using WordValue = std::variant<std::monostate, TensorView, bool, int64_t, double, std::string_view,
                               InitBias, RingTransport*>;

template <class Args, class Params>
struct Word {
  const char* name = "";
  WordKind kind = WordKind::kTensor;
  bool output = false;      // a tensor that the call writes, k and v of a cache and states apart
  const char* values = "";  // of an enum, comma-separated: "bottom_right,top_left"
  TensorView& (*tensor)(Args&, Params&) = nullptr;  // null where the word is none
  void (*assign)(const char* where, const char* name, Args&, Params&, const WordValue&) = nullptr;

  //   errors   kInvalidArgument if the value is of another kind or does not fit the field
  void set(const char* where, Args& a, Params& p, const WordValue& value) const {
    assign(where, name, a, p, value);
  }
};

// Of AttentionArgs, GdnArgs or MergeArgs and their params, in the order of the structs.
template <class Args, class Params>
std::span<const Word<Args, Params>> words() = delete;
template <>
ATTEND_API std::span<const Word<AttentionArgs, AttentionParams>> words();
template <>
ATTEND_API std::span<const Word<GdnArgs, GdnParams>> words();
template <>
ATTEND_API std::span<const Word<MergeArgs, MergeParams>> words();

// The word of that name.
//   errors   kInvalidArgument listing the words there are
template <class Args, class Params>
const Word<Args, Params>& word(const char* where, std::string_view name) {
  std::string known;
  for (const Word<Args, Params>& w : words<Args, Params>()) {
    if (name == w.name) return w;
    known += (known.empty() ? "" : ", ") + std::string(w.name);
  }
  throw Error(ErrorCode::kInvalidArgument, std::string(where) + ": word is '" + std::string(name) +
                                               "', expected one of " + known);
}

}  // namespace attend
