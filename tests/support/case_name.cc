#include <ostream>

#include "tests/support/cases.h"

namespace attend::testing {
namespace {

const char* spread_name(Spread spread) {
  constexpr const char* kNames[] = {"none", "k", "qk", "hqk", "bhqk", "b11k", "bhq1"};
  return kNames[static_cast<int>(spread)];
}

const char* strides_name(Strides strides) {
  constexpr const char* kNames[] = {"", "_headsfirst", "_step2", "_negative", "_broadcast", "_odd"};
  return kNames[static_cast<int>(strides)];
}

const char* descale_name(Descale descale) {
  constexpr const char* kNames[] = {"", "_descale", "_descale1", "_descaleh", "_descalebh"};
  return kNames[static_cast<int>(descale)];
}

const char* order_name(PageOrder order) {
  constexpr const char* kNames[] = {"", "_inorder", "_reversed", "_shared"};
  return kNames[static_cast<int>(order)];
}

const char* keys_name(KeysFrom keys_from) {
  constexpr const char* kNames[] = {"", "_cu", "_context", "_allwords", "_alone"};
  return kNames[static_cast<int>(keys_from)];
}

const char* own_name(OwnRows own_rows) {
  constexpr const char* kNames[] = {"", "_own", "_stored", "_somestored", "_batched"};
  return kNames[static_cast<int>(own_rows)];
}

}  // namespace

std::string name(const AttentionCase& c) {
  std::string s = c.label.empty() ? "" : c.label + "_";
  if (c.family == Family::kPaged) s += "paged_";
  if (c.family == Family::kDecode) s += "decode_";
  const auto add = [&](const char* word, int64_t value) { s += word + std::to_string(value); };
  add("b", c.batch);
  add("_sq", c.seqlen_q);
  add("_sk", c.seqlen_k);
  add("_h", c.heads);
  add("x", c.kv_heads);
  add("_d", c.head_dim);
  if (c.v_dim) add("v", c.v_dim);
  if (c.v_in_k) s += "_vink";
  s += std::string("_") + name(c.dtype);
  if (c.out_f32) s += "_of32";
  if (c.layout == Layout::kRagged) s += "_ragged";
  if (c.index == DType::kI64) s += "_i64";
  if (c.max_seqlen) s += "_max";
  s += strides_name(c.strides);
  if (c.seqused_q) s += "_usedq";
  if (c.seqused_k) s += "_usedk";
  if (c.scale != Scale::kDefault)
    s += c.scale == Scale::kGiven ? "_scale" : c.scale == Scale::kZero ? "_scale0" : "_scaleneg";
  if (c.k_cache) s += std::string("_k") + name(*c.k_cache);
  if (c.v_cache) s += std::string("_v") + name(*c.v_cache);
  if (c.descale != Descale::kNone) s += descale_name(c.descale);
  if (c.paged()) {
    add("_page", c.page_size);
    s += order_name(c.page_order);
    if (c.table == PageTable::kCsr) s += "_csr";
    s += keys_name(c.keys_from);
    s += own_name(c.own_rows);
    if (c.full_lengths) s += "_full";
  }
  if (c.start) s += "_start";
  if (c.end) s += "_end";
  if (c.block_mask != Spread::kNone) {
    add("_blocks", c.block_mask_q);
    add("x", c.block_mask_k);
    s += spread_name(c.block_mask);
    if (c.block_mask_quarters != 3) add("_quarters", c.block_mask_quarters);
  }
  if (c.softcap > 0) add("_cap", static_cast<int64_t>(c.softcap));
  if (c.bias != Spread::kNone) s += std::string("_bias") + spread_name(c.bias) + name(c.bias_dtype);
  if (c.alibi != PerHead::kNone) s += c.alibi == PerHead::k1D ? "_alibi" : "_alibi2d";
  if (c.sinks != PerHead::kNone) s += c.sinks == PerHead::k1D ? "_sinks" : "_sinks2d";
  if (c.causal) s += "_causal";
  if (c.diagonal != Diagonal::kOperatorDefault)
    s += c.diagonal == Diagonal::kTopLeft ? "_tl" : "_br";
  if (c.block_size) add("_block", c.block_size);
  if (c.block_origin) s += "_origin";
  if (c.window_left >= 0) add("_wl", c.window_left);
  if (c.window_right >= 0) add("_wr", c.window_right);
  if (c.q_start) s += "_qstart";
  if (c.prefix) s += "_prefix";
  if (c.hole) s += "_hole";
  if (c.segments) s += "_segments";
  if (c.keep != Spread::kNone) s += std::string("_keep") + spread_name(c.keep);
  if (c.mask_with_bias != MaskWithBias::kUnset)
    s += c.mask_with_bias == MaskWithBias::kBoth ? "_both" : "_biasonly";
  if (c.dropout_p > 0) s += "_drop";
  if (c.lse) s += "_lse";
  if (c.weights) s += c.weights_f32 ? "_weightsf32" : "_weights";
  if (c.scores) {
    s += c.scores_stage == ScoresStage::kScaled   ? "_scaled"
         : c.scores_stage == ScoresStage::kCapped ? "_capped"
                                                  : "_masked";
  }
  return s;
}

std::ostream& operator<<(std::ostream& stream, const AttentionCase& c) { return stream << name(c); }

}  // namespace attend::testing
