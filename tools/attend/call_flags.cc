#include "tools/attend/call_flags.h"

#include <algorithm>
#include <set>

#include "attend/error.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

constexpr const char *kMask = "Mask", *kScore = "Score", *kTensors = "Tensors", *kPages = "Pages",
                     *kGdn = "gdn", *kMerge = "merge";

// What the flag of a word says; words that are not here have plain flags.
struct Told {
  const char* name;
  const char* group;
  const char* help;
  Form form = Form::kValues;
  bool drawn = false;  // by `attend mask`
};
constexpr Told kTold[] = {
    {"q", kTensors, "[batch, seqlen_q, heads, head_dim], ragged [total_q, heads, head_dim]"},
    {"k", kTensors, "[batch, seqlen_k, kv_heads, head_dim], or pages"},
    {"v", kTensors, "[batch, seqlen_k, kv_heads, v_dim], or pages"},
    {"cu_seqlens_q", kTensors, "[batch + 1]: ragged rows", Form::kOffsets, true},
    {"cu_seqlens_k", kTensors, "[batch + 1]: ragged keys", Form::kOffsets, true},
    {"seqused_q", kTensors, "[batch]: rows in use", Form::kIndex, true},
    {"seqused_k", kTensors, "[batch]: keys in use", Form::kIndex, true},
    {"start", kTensors, "[batch]: first key that counts (decode)", Form::kIndex},
    {"end", kTensors, "[batch]: first key that does not (decode)", Form::kIndex},
    {"max_seqlen_q", kTensors, "ragged: upper bound, 0 = not told"},
    {"max_seqlen_k", kTensors, "ragged: upper bound, 0 = not told"},

    {"k_new", kPages, "[tokens, kv_heads, head_dim]: the call's own rows (paged, append)"},
    {"v_new", kPages, "[tokens, kv_heads, v_dim]: the call's own rows (paged, append)"},
    {"k_descale", kPages, "f32 scalar, [kv_heads] or [batch, kv_heads], of fp8 and int8",
     Form::kFloats},
    {"v_descale", kPages, "f32 scalar, [kv_heads] or [batch, kv_heads], of fp8 and int8",
     Form::kFloats},
    {"block_table", kPages, "[batch, max_pages]: pages of each request, requests apart by ;",
     Form::kSegments},
    {"kv_indptr", kPages, "[batch + 1]: where each request's pages begin", Form::kOffsets},
    {"kv_indices", kPages, "pages of all requests", Form::kOffsets},
    {"kv_last_page_len", kPages, "[batch]: keys in each last page", Form::kIndex},
    {"context_lens", kPages, "[batch]: keys in the pages before the call's rows", Form::kIndex},
    {"slot_mapping", kPages, "[tokens]: page * page_size + offset, negative = not kept",
     Form::kOffsets},

    {"causal", kMask, "a row sees the keys up to its position", Form::kValues, true},
    {"diagonal", kMask, "where row positions begin; sdpa: top_left, others: bottom_right",
     Form::kValues, true},
    {"block_size", kMask, "block-causal in place of causal", Form::kValues, true},
    {"window_left", kMask, "keys before the row's own, -1 = unlimited", Form::kValues, true},
    {"window_right", kMask, "keys after the row's own, -1 = unlimited", Form::kValues, true},
    {"q_start", kMask, "[batch]: position of row 0 on the key axis", Form::kIndex, true},
    {"block_origin", kMask, "[batch]: where blocks begin", Form::kIndex, true},
    {"prefix_lens", kMask, "[batch]: rows before it see all of it", Form::kIndex, true},
    {"hole_starts", kMask, "[batch]: first key hidden from every row", Form::kIndex, true},
    {"hole_ends", kMask, "[batch]: first key after the hole", Form::kIndex, true},
    {"q_segment_ids", kMask, "[batch, seqlen_q]; id < 0 is padding", Form::kSegments, true},
    {"kv_segment_ids", kMask, "[batch, seqlen_k]", Form::kSegments, true},
    {"keep", kMask, "bool, right-aligned to [batch, heads, seqlen_q, seqlen_k]", Form::kBroadcast,
     true},
    {"block_mask", kMask, "bool, right-aligned to [batch, heads, q_tiles, k_tiles] (splash)",
     Form::kBroadcast, true},
    {"block_mask_q", kMask, "rows of one block_mask entry", Form::kValues, true},
    {"block_mask_k", kMask, "keys of one block_mask entry", Form::kValues, true},

    {"softmax_scale", kScore, "unset = 1/sqrt of the keys' dimension"},
    {"softcap", kScore, "softcap * tanh(s / softcap); 0 = off"},
    {"bias", kScore, "shaped like keep; -inf hides", Form::kBroadcast},
    {"alibi_slopes", kScore, "f32 [heads] or [batch, heads]", Form::kFloats},
    {"sinks", kScore, "f32 [heads] or [heads, n]: logits without a value", Form::kFloats},
    {"mask_with_bias", kScore, "what keep and bias mean together"},
    {"deterministic", kScore, "lets dropout run"},
    {"allow_tf32", kScore, "f32 products may be rounded to TF32"},
    {"dropout_p", kScore, "with --seed and --no-deterministic"},
    {"dropout_seed", kScore, "Philox key of dropout"},
    {"dropout_offset", kScore, "last word of the Philox counter"},
    {"ring_placement", kScore, "where a rank's rows come from (ring)"},

    {"g", kGdn, "f32 [.., heads] or [.., heads, k_dim]: natural log of the decay"},
    {"alpha", kGdn, "f32, shaped like g: the decay itself, in place of g"},
    {"beta", kGdn, "f32 [.., heads], 0..2"},
    {"state", kGdn, "f32 [batch or slots, heads, v_dim, k_dim]; absent = 0"},
    {"state_indices", kGdn, "[batch]: slot of each sequence", Form::kIndex},
    {"cu_seqlens", kGdn, "[batch + 1]: ragged tokens", Form::kOffsets},
    {"mixed_qkv", kGdn, "[.., channels]: what the convolution makes q, k and v of"},
    {"conv_weight", kGdn, "[channels, taps]"},
    {"conv_bias", kGdn, "[channels]"},
    {"conv_state", kGdn, "[batch or slots, channels, taps - 1]: inputs before this call"},
    {"a", kGdn, "[.., heads]: g = -exp(a_log) softplus(a + dt_bias)"},
    {"b", kGdn, "[.., heads]: beta = sigmoid(b)"},
    {"a_log", kGdn, "f32 [heads]", Form::kFloats},
    {"dt_bias", kGdn, "f32 [heads]", Form::kFloats},
    {"z", kGdn, "[.., heads, v_dim]: gate of the RMSNorm"},
    {"norm_weight", kGdn, "[v_dim]"},
    {"chunk_size", kGdn, "tokens per chunk of prefill"},
    {"normalize_qk", kGdn, "L2-normalise rows of q and k first"},
    {"conv_silu", kGdn, "no SiLU after the convolution"},
    {"l2_eps", kGdn, "of normalize_qk"},
    {"norm_eps", kGdn, "of the RMSNorm"},
    {"padding_slot", kGdn, "a slot that padded rows share; -1 = none"},
    {"k_heads", kGdn, "of mixed_qkv where shapes do not tell them"},

    {"out_a", kMerge, "[batch, seqlen_q, heads, dim] or [total_q, heads, dim]"},
    {"lse_a", kMerge, "f32 [batch, heads, seqlen_q] or [heads, total_q]"},
    {"out_b", kMerge, "like out_a"},
    {"lse_b", kMerge, "like lse_a"},
};

const Told& told(std::string_view word) {
  static constexpr Told kPlain{"", kTensors, ""};
  for (const Told& t : kTold)
    if (word == t.name) return t;
  return kPlain;
}

std::string flag(std::string word) {
  std::replace(word.begin(), word.end(), '_', '-');
  return "--" + word;
}

// The values of an enum that a caller would spell out.
std::vector<std::string> values_of(const char* list) {
  std::vector<std::string> values = split(list, ',');
  std::erase_if(values,
                [](const std::string& v) { return v == "unset" || v == "operator_default"; });
  return values;
}

template <class Args, class Params>
void add_flag(CLI::App& app, CallFlags& flags, const Word<Args, Params>& word, const Told& t) {
  const std::string name = word.name, help = t.help;
  CLI::Option* option = nullptr;
  switch (word.kind) {
    case WordKind::kTensor: {
      const bool numbers = t.form != Form::kValues && t.form != Form::kBroadcast;
      option = app.add_option_function<std::string>(
                      flag(name), [&flags, name](const std::string& v) { flags.tensors[name] = v; },
                      help)
                   ->type_name(numbers ? "FILE[:NAME]|N,N.." : "FILE[:NAME]");
      break;
    }
    case WordKind::kBool: {  // a flag says what is not so by itself
      const bool on = name == "deterministic" || name == "conv_silu";
      option = app.add_flag_callback(
          on ? "--no-" + flag(name).substr(2) : flag(name),
          [&flags, name, on] { flags.scalars[name] = !on; }, help);
      break;
    }
    case WordKind::kInt:
      option = app.add_option_function<int64_t>(
          flag(name), [&flags, name](const int64_t& v) { flags.scalars[name] = v; }, help);
      break;
    case WordKind::kBits:
      option = app.add_option_function<uint64_t>(
          (name == "dropout_seed" ? "--seed," : "") + flag(name),
          [&flags, name](const uint64_t& v) { flags.scalars[name] = static_cast<int64_t>(v); },
          help);
      break;
    case WordKind::kFloat:
      option = app.add_option_function<double>(
          flag(name), [&flags, name](const double& v) { flags.scalars[name] = v; }, help);
      break;
    case WordKind::kEnum:
      option = app.add_option_function<std::string>(
                      flag(name), [&flags, name](const std::string& v) { flags.scalars[name] = v; },
                      help)
                   ->check(CLI::IsMember(values_of(word.values)));
      break;
    case WordKind::kCallback:
    case WordKind::kTransport: return;  // no text names them
  }
  option->group(t.group);
}

template <class Args, class Params>
void add_flags(CLI::App& app, CallFlags& flags, FlagSet set, std::set<std::string>& added) {
  for (const Word<Args, Params>& word : words<Args, Params>()) {
    const Told& t = told(word.name);
    // Outputs are asked for by flags of `run`, scores_stage by --scores.
    if (word.output || std::string_view(word.name) == "scores_stage") continue;
    if (set == FlagSet::kMask && !t.drawn) continue;
    if (added.insert(word.name).second) add_flag(app, flags, word, t);
  }
}

}  // namespace

Form form_of(std::string_view word) { return told(word).form; }

void add_call_flags(CLI::App& app, CallFlags& flags, FlagSet set) {
  if (set == FlagSet::kEvery) {
    app.add_option("--prefix", flags.prefix, "of the tensors' names in --input: layer0.")
        ->group(kTensors);
    app.add_option("--dtype", flags.dtype,
                   "convert q, k, v and new rows to it, caches of one byte apart; also what V2 of "
                   ".npy is")
        ->check(CLI::IsMember({"f32", "f16", "bf16"}))
        ->group(kTensors);
    app.add_option("--out-dtype", flags.out_dtype, "of out: that of q, or f32")
        ->check(CLI::IsMember({"f32", "f16", "bf16"}))
        ->group(kTensors);
  }
  std::set<std::string> added;
  add_flags<AttentionArgs, AttentionParams>(app, flags, set, added);
  if (set == FlagSet::kMask) return;
  add_flags<GdnArgs, GdnParams>(app, flags, set, added);
  add_flags<MergeArgs, MergeParams>(app, flags, set, added);
}

template <class Args, class Params>
void refuse_strangers(const char* where, const CallFlags& flags) {
  const auto refuse = [&](const std::string& name) {
    for (const Word<Args, Params>& word : words<Args, Params>())
      if (name == word.name) return;
    std::vector<std::string> known;
    for (const Word<Args, Params>& word : words<Args, Params>())
      if (!word.output) known.emplace_back(word.name);
    throw Error(ErrorCode::kInvalidArgument,
                std::string(where) + ": " + name +
                    " is given, expected words of this operator: " + join(known));
  };
  for (const auto& [name, value] : flags.tensors) refuse(name);
  for (const auto& [name, value] : flags.scalars) refuse(name);
}
template void refuse_strangers<AttentionArgs, AttentionParams>(const char*, const CallFlags&);
template void refuse_strangers<GdnArgs, GdnParams>(const char*, const CallFlags&);
template void refuse_strangers<MergeArgs, MergeParams>(const char*, const CallFlags&);

}  // namespace attend::cli
