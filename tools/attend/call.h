#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "tools/attend/call_flags.h"
#include "tools/attend/formats/output_file.h"
#include "tools/attend/formats/tensor_file.h"

namespace attend::cli {

// A call with the memory that its views point into. Copies share that memory.
template <class ArgsOf, class ParamsOf>
struct CallOf {
  using Args = ArgsOf;
  using Params = ParamsOf;

  Args args;
  Params params;
  std::string title;               // what is computed: "layer0. of FILE"
  std::vector<std::string> notes;  // how the file was read, where that is a choice
  std::string expected_name;       // an output of the input file, "" if there is none
  TensorView expected;
  std::vector<std::shared_ptr<Tensor>> owned;
  std::set<std::string> single;  // words given as one number, which serves every sequence

  TensorView own(Tensor tensor) {
    owned.push_back(std::make_shared<Tensor>(std::move(tensor)));
    return owned.back()->view();
  }
  TensorView& at(const Word<Args, Params>& word) { return word.tensor(args, params); }
};
using Call = CallOf<AttentionArgs, AttentionParams>;
using GdnCall = CallOf<GdnArgs, GdnParams>;
using MergeCall = CallOf<MergeArgs, MergeParams>;

// f(word, view) for every tensor of a call, absent ones included.
template <class C, class F>
void each_tensor(C& call, const F& f) {
  for (const auto& word : words<typename C::Args, typename C::Params>())
    if (word.kind == WordKind::kTensor) f(word, call.at(word));
}

// --- From flags and files: load.cc

// FILE or FILE:NAME.
struct TensorRef {
  std::string path, name;
};
TensorRef tensor_ref(const std::string& text);
// The tensor that a reference names; without a name the file's only one, or `role` (q, query, ...).
Tensor load_ref(const std::string& text, const std::string& role, std::optional<DType> as = {});

// What stands before the names of the calls in a file: "layer0.", "layer5.", or "".
std::vector<std::string> prefixes(const TensorFile& file);

// The call of the flags, dtype converted, without outputs.
//   prefix   of the names in flags.input
template <class C>
C load_call(OpId op, const CallFlags& flags, const std::string& prefix);
// The words of masks and scores alone, for calls without q, k, v.
template <class C>
void load_words(C& call, const CallFlags& flags, const TensorFile* file, const std::string& prefix);
// One number given for a word becomes one for each sequence.
template <class C>
void spread_single(C& call, int64_t batch);

// The same call with q, k, v and the call's own rows in another dtype; caches of one byte an element
// stay where `keep_caches`.
template <class C>
C with_dtype(const C& call, DType dtype, bool keep_caches);
// Whether an operator's k and v are caches.
inline bool has_caches(OpId op) {
  return op == OpId::kPaged || op == OpId::kDecode || op == OpId::kAppend;
}

// --- What a call writes: outputs.cc

struct Outputs {
  bool lse = false, weights = false, scores = false;
  std::optional<DType> out_dtype;
};
// Memory for the outputs, filled with NaN. Where ranks are wrong nothing is added: the library's
// checks speak.
void add_outputs(OpId op, Call& call, const Outputs& outputs);
void add_outputs(OpId op, GdnCall& call, const Outputs& outputs);
void add_outputs(OpId op, MergeCall& call, const Outputs& outputs);
template <class C>
void poison_outputs(C call);

// The tensors that a call writes: its outputs, then what it changes in place.
template <class C>
NamedTensors written_by(C call);

// The call's tensors on another device; on native the call itself. Outputs come back with
// bring_back.
template <class C>
C on_device(const C& call, Device device);
template <class C>
void bring_back(C there, C here);

// What the operator means where the call leaves it open (sdpa: top left, both), for the oracle.
AttentionParams resolved(OpId op, const AttentionParams& params);

// The tensors given, one line each: "q     f32[4, 30, 12, 32]".
template <class C>
std::vector<std::string> describe(C call);

}  // namespace attend::cli
