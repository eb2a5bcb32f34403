#pragma once
#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attend/attention_params.h"

// The flags of a call, by the contract's names with - for _.
namespace attend::cli {

enum class WordKind : uint8_t {
  kValues,    // q, k, v and other tensors of elements: a file
  kIndex,     // [batch]: a file or numbers; one number serves every sequence
  kOffsets,   // cu_seqlens and other index lists of a length of their own: a file or numbers
  kSegments,  // ids of rows or keys: a file or numbers, sequences apart by ';'
  kFloats,    // [heads]: a file or numbers
  kBroadcast  // keep, bias: a file
};

// A tensor that a call may have.
struct Word {
  const char* name;  // of the contract
  WordKind kind;
  TensorView* (*at)(AttentionArgs&, AttentionParams&);
  const char* help;
};
const std::vector<Word>& words();

struct CallFlags {
  std::string input;                           // a file that holds tensors by name
  std::optional<std::string> prefix;           // of their names
  std::map<std::string, std::string> tensors;  // contract name -> FILE[:NAME] or numbers
  AttentionParams params;                      // everything that is not a tensor
  int64_t max_seqlen_q = 0, max_seqlen_k = 0;
  std::optional<std::string> dtype, out_dtype;
};

// Adds the flags; tensors of q, k, v and the words of files only where `files`.
void add_call_flags(CLI::App& app, CallFlags& flags, bool files);

}  // namespace attend::cli
