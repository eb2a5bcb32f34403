#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "ops/checks.h"

namespace attend {

void throw_invalid(const char* where, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, std::string(where) + ": " + what);
}
void throw_unsupported(const char* where, const std::string& what) {
  throw Error(ErrorCode::kUnsupported, std::string(where) + ": " + what);
}
void throw_out_of_range(const char* where, const std::string& what) {
  throw Error(ErrorCode::kOutOfRange, std::string(where) + ": " + what);
}

namespace {

std::string real(float value) {
  std::string text = std::to_string(value);
  while (text.find('.') != std::string::npos && (text.back() == '0' || text.back() == '.')) {
    const bool dot = text.back() == '.';
    text.pop_back();
    if (dot) break;
  }
  return text;
}

void check_mask_words(const char* where, const MaskSpec& m) {
  const auto window = [&](const char* word, int32_t size) {
    if (size < -1)
      throw_invalid(where, std::string(word) + " is " + std::to_string(size) +
                               ", expected -1 (unlimited) or more");
  };
  window("window_left", m.window_left);
  window("window_right", m.window_right);
  if (m.block_size < 0)
    throw_invalid(where,
                  "block_size is " + std::to_string(m.block_size) + ", expected 0 (off) or more");
  if (m.causal && m.block_size > 1)
    throw_invalid(where, "causal is set and block_size is " + std::to_string(m.block_size) +
                             ", expected one of the two; block_size alone is block-causal");
  if (m.block_origin && (m.block_size == 0 || m.causal))
    throw_invalid(
        where,
        "block_origin is given, expected it only with block-causal; set block_size and not causal");
  if (m.prefix_lens && !m.causal && m.block_size == 0)
    throw_invalid(
        where,
        "prefix_lens is given, expected causal or block_size with it, whose rule it replaces");
  if (static_cast<bool>(m.hole_starts) != static_cast<bool>(m.hole_ends))
    throw_invalid(where, std::string(m.hole_starts ? "hole_ends" : "hole_starts") +
                             " is absent, expected it with " +
                             (m.hole_starts ? "hole_starts" : "hole_ends"));
  if (static_cast<bool>(m.q_segment_ids) != static_cast<bool>(m.kv_segment_ids))
    throw_invalid(where, std::string(m.q_segment_ids ? "kv_segment_ids" : "q_segment_ids") +
                             " is absent, expected it with " +
                             (m.q_segment_ids ? "q_segment_ids" : "kv_segment_ids"));
}

}  // namespace

void refuse_words_of_others(const char* where, const AttentionArgs& a, const AttentionParams& p,
                            std::initializer_list<const char*> taken) {
  const SeqLayout& s = a.seq;
  const struct {
    const TensorView& tensor;
    const char *word, *owner;
  } owned[] = {
      {a.k_new, "k_new", "paged or append"},
      {a.v_new, "v_new", "paged or append"},
      {a.k_descale, "k_descale", "paged or decode"},
      {a.v_descale, "v_descale", "paged or decode"},
      {s.block_table, "block_table", "paged"},
      {s.kv_indptr, "kv_indptr", "paged"},
      {s.kv_indices, "kv_indices", "paged"},
      {s.kv_last_page_len, "kv_last_page_len", "paged"},
      {s.context_lens, "context_lens", "paged"},
      {s.slot_mapping, "slot_mapping", "paged or append"},
      {s.start, "start", "decode"},
      {s.end, "end", "decode"},
      {p.mask.block_mask, "block_mask", "splash"},
  };
  const auto takes = [&](std::string_view word) {
    return std::any_of(taken.begin(), taken.end(), [&](const char* w) { return word == w; });
  };
  for (const auto& [tensor, word, owner] : owned)
    if (tensor && !takes(word))
      throw_unsupported(where, std::string(word) + " is given, expected it only with " + owner +
                                   "; use that operator");
  if ((p.mask.block_mask_q != 0 || p.mask.block_mask_k != 0) && !takes("block_mask"))
    throw_unsupported(where,
                      std::string(p.mask.block_mask_q != 0 ? "block_mask_q" : "block_mask_k") +
                          " is given, expected it only with splash; use that operator");
  if (p.ring_transport != nullptr && !takes("ring_transport"))
    throw_unsupported(where,
                      "ring_transport is given, expected it only with ring; use that operator");
  if (p.ring_placement != RingPlacement::kContiguous && !takes("ring_transport"))
    throw_unsupported(where,
                      "ring_placement is zigzag, expected it only with ring; use that operator");
}

void check_words(const char* where, const AttentionParams& p) {
  check_mask_words(where, p.mask);
  if (p.softmax_scale && !std::isfinite(*p.softmax_scale))
    throw_invalid(where,
                  "softmax_scale is " + real(*p.softmax_scale) + ", expected a finite number");
  if (!(p.softcap >= 0.0f) || !std::isfinite(p.softcap))
    throw_invalid(
        where, "softcap is " + real(p.softcap) + ", expected 0 (off) or a positive finite number");
  if (p.mask.keep && p.bias && p.mask_with_bias == MaskWithBias::kUnset)
    throw_invalid(
        where,
        "keep and bias are both given and mask_with_bias is unset, expected both or bias_only");
  if (!(p.dropout_p >= 0.0f && p.dropout_p < 1.0f))
    throw_invalid(where, "dropout_p is " + real(p.dropout_p) + ", expected 0 <= p < 1");
  if (p.dropout_p > 0.0f && !p.deterministic && !p.dropout_seed)
    throw_invalid(where,
                  "dropout_seed is absent, expected it with dropout_p > 0 and deterministic off");
}

}  // namespace attend
