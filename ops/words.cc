#include "ops/words.h"

#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>

namespace attend {

const char* name(WordKind kind) noexcept {
  static constexpr const char* kNames[] = {"tensor", "bool", "int",      "bits",
                                           "float",  "enum", "callback", "transport"};
  return kNames[static_cast<size_t>(kind)];
}

namespace {

// The names of an enum's values, in their order.
template <class T>
constexpr const char* kValues = "";
template <>
constexpr const char* kValues<Diagonal> = "bottom_right,top_left,operator_default";
template <>
constexpr const char* kValues<MaskWithBias> = "unset,both,bias_only";
template <>
constexpr const char* kValues<ScoresStage> = "scaled,capped,masked";
template <>
constexpr const char* kValues<RingPlacement> = "contiguous,zigzag";

template <class T>
constexpr WordKind kind_of() {
  if constexpr (std::is_same_v<T, TensorView>) return WordKind::kTensor;
  if constexpr (std::is_same_v<T, bool>) return WordKind::kBool;
  if constexpr (std::is_same_v<T, int32_t> || std::is_same_v<T, int64_t>) return WordKind::kInt;
  if constexpr (std::is_same_v<T, uint64_t> || std::is_same_v<T, std::optional<uint64_t>>)
    return WordKind::kBits;
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, std::optional<float>>)
    return WordKind::kFloat;
  if constexpr (std::is_enum_v<T>) return WordKind::kEnum;
  if constexpr (std::is_same_v<T, InitBias>) return WordKind::kCallback;
  if constexpr (std::is_same_v<T, RingTransport*>) return WordKind::kTransport;
}

// What is being set, for the words of a refusal.
struct Setting {
  const char* where;
  const char* word;

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::kInvalidArgument, std::string(where) + ": " + word + " is " + what);
  }
};

const char* kind_of_value(const WordValue& value) {
  static constexpr const char* kKinds[] = {"nothing", "a tensor", "a bool",     "an int",
                                           "a float", "a string", "a callback", "a transport"};
  return kKinds[value.index()];
}
template <class T>
std::string wanted_kind() {
  switch (kind_of<T>()) {
    case WordKind::kTensor: return "a tensor";
    case WordKind::kBool: return "a bool";
    case WordKind::kInt:
    case WordKind::kBits: return "an int";
    case WordKind::kFloat: return "a float";
    case WordKind::kEnum: return std::string("a string, one of ") + kValues<T>;
    case WordKind::kCallback: return "a callback";
    case WordKind::kTransport: return "a transport";
  }
  return "";
}

template <class T>
T enum_of(const Setting& setting, std::string_view wanted) {
  std::string_view list = kValues<T>;
  for (int i = 0;; ++i) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == wanted) return static_cast<T>(i);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  setting.refuse("'" + std::string(wanted) + "', expected one of " + kValues<T>);
}

template <class T>
T int_of(const Setting& setting, int64_t n) {
  if (n < std::numeric_limits<T>::min() || n > std::numeric_limits<T>::max())
    setting.refuse(std::to_string(n) + ", expected an integer of " + std::to_string(8 * sizeof(T)) +
                   " bits");
  return static_cast<T>(n);
}

float float_of(const Setting& setting, double x) {
  if (std::isfinite(x) && std::abs(x) > static_cast<double>(std::numeric_limits<float>::max()))
    setting.refuse("beyond what f32 holds, expected at most 3.4e38");
  return static_cast<float>(x);
}

// The value as a field of type T holds it.
template <class T>
T value_as(const Setting& setting, const WordValue& value) {
  constexpr WordKind kKind = kind_of<T>();
  if constexpr (kKind == WordKind::kEnum) {
    if (const auto* text = std::get_if<std::string_view>(&value)) return enum_of<T>(setting, *text);
  } else if constexpr (kKind == WordKind::kFloat) {
    if (const auto* x = std::get_if<double>(&value)) return float_of(setting, *x);
  } else if constexpr (kKind == WordKind::kBits) {
    if (const auto* n = std::get_if<int64_t>(&value)) return static_cast<uint64_t>(*n);
  } else if constexpr (kKind == WordKind::kInt) {
    if (const auto* n = std::get_if<int64_t>(&value)) return int_of<T>(setting, *n);
  } else {
    if (const auto* x = std::get_if<T>(&value)) return *x;
  }
  setting.refuse(std::string(kind_of_value(value)) + ", expected " + wanted_kind<T>());
}

template <class Args, class Params, class Field>
Word<Args, Params> make(const char* name, Field, bool output) {
  using T =
      std::remove_reference_t<decltype(Field{}(std::declval<Args&>(), std::declval<Params&>()))>;
  Word<Args, Params> w;
  w.name = name;
  w.kind = kind_of<T>();
  w.output = output;
  w.values = kValues<T>;
  w.assign = [](const char* where, const char* word, Args& a, Params& p, const WordValue& value) {
    if (!std::holds_alternative<std::monostate>(value)) {
      Field{}(a, p) = value_as<T>({where, word}, value);
      return;
    }
    Args args;
    Params params;
    Field{}(a, p) = Field{}(args, params);
  };
  if constexpr (std::is_same_v<T, TensorView>)
    w.tensor = [](Args& a, Params& p) -> TensorView& { return Field{}(a, p); };
  return w;
}

#define ATTEND_WORD_AT(word, path, output)                                                        \
  make<Args, Params>(                                                                             \
      word, []([[maybe_unused]] Args & a, [[maybe_unused]] Params & p) -> auto& { return path; }, \
      output)
#define ATTEND_WORD(word, path) ATTEND_WORD_AT(word, path, false)
#define ATTEND_OUTPUT(word, path) ATTEND_WORD_AT(word, path, true)

}  // namespace

template <>
std::span<const Word<AttentionArgs, AttentionParams>> words() {
  using Args = AttentionArgs;
  using Params = AttentionParams;
  static const Word<Args, Params> table[] = {
      ATTEND_WORD("q", a.q),
      ATTEND_WORD("k", a.k),
      ATTEND_WORD("v", a.v),
      ATTEND_OUTPUT("out", a.out),
      ATTEND_OUTPUT("lse", a.lse),
      ATTEND_OUTPUT("weights", a.weights),
      ATTEND_OUTPUT("scores", a.scores),
      ATTEND_WORD("k_new", a.k_new),
      ATTEND_WORD("v_new", a.v_new),
      ATTEND_WORD("k_descale", a.k_descale),
      ATTEND_WORD("v_descale", a.v_descale),
      ATTEND_WORD("cu_seqlens_q", a.seq.cu_seqlens_q),
      ATTEND_WORD("cu_seqlens_k", a.seq.cu_seqlens_k),
      ATTEND_WORD("seqused_q", a.seq.seqused_q),
      ATTEND_WORD("seqused_k", a.seq.seqused_k),
      ATTEND_WORD("block_table", a.seq.block_table),
      ATTEND_WORD("kv_indptr", a.seq.kv_indptr),
      ATTEND_WORD("kv_indices", a.seq.kv_indices),
      ATTEND_WORD("kv_last_page_len", a.seq.kv_last_page_len),
      ATTEND_WORD("context_lens", a.seq.context_lens),
      ATTEND_WORD("slot_mapping", a.seq.slot_mapping),
      ATTEND_WORD("start", a.seq.start),
      ATTEND_WORD("end", a.seq.end),
      ATTEND_WORD("max_seqlen_q", a.seq.max_seqlen_q),
      ATTEND_WORD("max_seqlen_k", a.seq.max_seqlen_k),
      ATTEND_WORD("softmax_scale", p.softmax_scale),
      ATTEND_WORD("softcap", p.softcap),
      ATTEND_WORD("causal", p.mask.causal),
      ATTEND_WORD("diagonal", p.mask.diagonal),
      ATTEND_WORD("block_size", p.mask.block_size),
      ATTEND_WORD("window_left", p.mask.window_left),
      ATTEND_WORD("window_right", p.mask.window_right),
      ATTEND_WORD("q_start", p.mask.q_start),
      ATTEND_WORD("block_origin", p.mask.block_origin),
      ATTEND_WORD("prefix_lens", p.mask.prefix_lens),
      ATTEND_WORD("hole_starts", p.mask.hole_starts),
      ATTEND_WORD("hole_ends", p.mask.hole_ends),
      ATTEND_WORD("q_segment_ids", p.mask.q_segment_ids),
      ATTEND_WORD("kv_segment_ids", p.mask.kv_segment_ids),
      ATTEND_WORD("keep", p.mask.keep),
      ATTEND_WORD("block_mask", p.mask.block_mask),
      ATTEND_WORD("block_mask_q", p.mask.block_mask_q),
      ATTEND_WORD("block_mask_k", p.mask.block_mask_k),
      ATTEND_WORD("bias", p.bias),
      ATTEND_WORD("alibi_slopes", p.alibi_slopes),
      ATTEND_WORD("sinks", p.sinks),
      ATTEND_WORD("mask_with_bias", p.mask_with_bias),
      ATTEND_WORD("init_bias", p.init_bias),
      ATTEND_WORD("deterministic", p.deterministic),
      ATTEND_WORD("allow_tf32", p.allow_tf32),
      ATTEND_WORD("dropout_p", p.dropout_p),
      ATTEND_WORD("dropout_seed", p.dropout_seed),
      ATTEND_WORD("dropout_offset", p.dropout_offset),
      ATTEND_WORD("scores_stage", p.scores_stage),
      ATTEND_WORD("ring_transport", p.ring_transport),
      ATTEND_WORD("ring_placement", p.ring_placement),
  };
  return table;
}

template <>
std::span<const Word<GdnArgs, GdnParams>> words() {
  using Args = GdnArgs;
  using Params = GdnParams;
  static const Word<Args, Params> table[] = {
      ATTEND_WORD("q", a.q),
      ATTEND_WORD("k", a.k),
      ATTEND_WORD("v", a.v),
      ATTEND_OUTPUT("out", a.out),
      ATTEND_WORD("g", a.g),
      ATTEND_WORD("alpha", a.alpha),
      ATTEND_WORD("beta", a.beta),
      ATTEND_WORD("state", a.state),
      ATTEND_OUTPUT("final_state", a.final_state),
      ATTEND_WORD("state_indices", a.state_indices),
      ATTEND_WORD("cu_seqlens", a.cu_seqlens),
      ATTEND_WORD("mixed_qkv", a.mixed_qkv),
      ATTEND_WORD("conv_weight", a.conv_weight),
      ATTEND_WORD("conv_bias", a.conv_bias),
      ATTEND_WORD("conv_state", a.conv_state),
      ATTEND_WORD("a", a.a),
      ATTEND_WORD("b", a.b),
      ATTEND_WORD("a_log", a.a_log),
      ATTEND_WORD("dt_bias", a.dt_bias),
      ATTEND_WORD("z", a.z),
      ATTEND_WORD("norm_weight", a.norm_weight),
      ATTEND_WORD("softmax_scale", p.softmax_scale),
      ATTEND_WORD("chunk_size", p.chunk_size),
      ATTEND_WORD("normalize_qk", p.normalize_qk),
      ATTEND_WORD("conv_silu", p.conv_silu),
      ATTEND_WORD("l2_eps", p.l2_eps),
      ATTEND_WORD("norm_eps", p.norm_eps),
      ATTEND_WORD("padding_slot", p.padding_slot),
      ATTEND_WORD("k_heads", p.k_heads),
      ATTEND_WORD("v_heads", p.v_heads),
  };
  return table;
}

template <>
std::span<const Word<MergeArgs, MergeParams>> words() {
  using Args = MergeArgs;
  using Params = MergeParams;
  static const Word<Args, Params> table[] = {
      ATTEND_WORD("out_a", a.out_a), ATTEND_WORD("lse_a", a.lse_a), ATTEND_WORD("out_b", a.out_b),
      ATTEND_WORD("lse_b", a.lse_b), ATTEND_OUTPUT("out", a.out),   ATTEND_OUTPUT("lse", a.lse),
  };
  return table;
}

}  // namespace attend
