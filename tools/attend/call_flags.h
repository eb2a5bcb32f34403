#pragma once
#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ops/words.h"

// The flags of a call: one for each word of ops/words.h, by the contract's name with - for _.
namespace attend::cli {

// How the command line writes a tensor.
enum class Form : uint8_t {
  kValues,    // elements: a file
  kIndex,     // [batch]: a file or numbers; one number serves every sequence
  kOffsets,   // cu_seqlens and other index lists of a length of their own: a file or numbers
  kSegments,  // ids of rows or keys: a file or numbers, sequences apart by ';'
  kFloats,    // [heads] and the like: a file or numbers
  kBroadcast  // keep, bias: a file
};
Form form_of(std::string_view word);

struct CallFlags {
  std::string input;                           // a file that holds tensors by name
  std::optional<std::string> prefix;           // of their names
  std::map<std::string, std::string> tensors;  // word -> FILE[:NAME] or numbers
  std::map<std::string, std::variant<bool, int64_t, double, std::string>> scalars;
  std::optional<std::string> dtype, out_dtype;

  // Sets the words that are not tensors.
  //   errors   kInvalidArgument naming a flag that is no word of these arguments
  template <class Args, class Params>
  void set_scalars(const char* where, Args& args, Params& params) const;
};

// Which words have flags.
enum class FlagSet : uint8_t {
  kEvery,  // of every operator, and files
  kMask    // what `attend mask` draws
};
void add_call_flags(CLI::App& app, CallFlags& flags, FlagSet set);

// Refuses flags that are no words of an operator's arguments, by name.
template <class Args, class Params>
void refuse_strangers(const char* where, const CallFlags& flags);

extern template void refuse_strangers<AttentionArgs, AttentionParams>(const char*,
                                                                      const CallFlags&);
extern template void refuse_strangers<GdnArgs, GdnParams>(const char*, const CallFlags&);
extern template void refuse_strangers<MergeArgs, MergeParams>(const char*, const CallFlags&);

template <class Args, class Params>
void CallFlags::set_scalars(const char* where, Args& args, Params& params) const {
  refuse_strangers<Args, Params>(where, *this);
  for (const auto& [name, value] : scalars)
    std::visit(
        [&, &word_name = name](const auto& v) {
          word<Args, Params>(where, word_name).set(where, args, params, WordValue(v));
        },
        value);
}

}  // namespace attend::cli
