#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attend/kernel.h"
#include "attend/operator.h"
#include "tools/attend/call_flags.h"
#include "tools/attend/formats/tensor_file.h"

namespace attend::cli {

// A call with the memory that its views point into. Copies share that memory.
struct Call {
  AttentionArgs args;
  AttentionParams params;
  std::string title;               // what is computed: "layer0. of FILE"
  std::vector<std::string> notes;  // how the file was read, where that is a choice
  std::string expected_name;       // an output of the input file, "" if there is none
  TensorView expected;
  std::vector<std::shared_ptr<Tensor>> owned;
  std::set<std::string> single;  // words given as one number, which serves every sequence

  TensorView own(Tensor tensor);
};

// FILE or FILE:NAME.
struct TensorRef {
  std::string path, name;
};
TensorRef tensor_ref(const std::string& text);
// The tensor that a reference names; without a name the file's only one, or `role` (q, query, ...).
Tensor load_ref(const std::string& text, const std::string& role, std::optional<DType> as = {});

// What stands before the names of the calls in a file: "layer0.", "layer5.", or "".
std::vector<std::string> prefixes(const TensorFile& file);

// The call of the flags, q, k and v included, dtype converted, without outputs.
//   prefix   of the names in flags.input
Call load_call(const CallFlags& flags, const std::string& prefix);
// The words of masks and scores alone, for calls without q, k, v.
void load_words(Call& call, const CallFlags& flags, const TensorFile* file,
                const std::string& prefix);
// One number given for a word becomes one for each sequence.
void spread_single(Call& call, int64_t batch);

// The same call with q, k and v in another dtype.
Call with_dtype(const Call& call, DType dtype);

struct Outputs {
  bool lse = false, weights = false, scores = false;
  std::optional<DType> out_dtype;
};
// Memory for the outputs, filled with NaN. Where ranks are wrong nothing is added: the library's checks speak.
void add_outputs(Call& call, const Outputs& outputs);
void poison_outputs(const Call& call);

// The call's tensors on another device; on native the call itself. Outputs come back with bring_back.
Call on_device(const Call& call, Device device);
void bring_back(const Call& there, Call& here);

// What the operator means where the call leaves it open (sdpa: top left, both), for the oracle.
AttentionParams resolved(OpId op, const AttentionParams& params);

// q, k, v and the words given, one line each: "q     f32[4, 30, 12, 32]".
std::vector<std::string> describe(const Call& call);

}  // namespace attend::cli
