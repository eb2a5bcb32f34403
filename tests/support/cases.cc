#include "tests/support/cases.h"

#include <cstdlib>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string_view>

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

AttentionCase sized(int64_t seqlen_q, int64_t seqlen_k, int64_t head_dim) {
  AttentionCase c;
  c.seqlen_q = seqlen_q;
  c.seqlen_k = seqlen_k;
  c.head_dim = head_dim;
  c.lse = true;
  return c;
}

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// Rows and keys one below, on and one above the tile sizes that kernels use.
void add_tile_edges(std::vector<AttentionCase>& list, bool full) {
  std::vector<int64_t> edges;
  for (int64_t tile : {16, 32, 48, 64, 128, 256, 512})
    edges.insert(edges.end(), {tile - 1, tile, tile + 1});
  for (size_t n = 0; n < edges.size(); ++n) {
    for (size_t m = 0; m < edges.size(); ++m) {
      if (!full && m != (n * 8 + 5) % edges.size())
        continue;  // a permutation: every row size occurs once
      AttentionCase c = sized(edges[m], edges[n], 32);
      c.dtype = kDTypes[(n + m) % 3];
      c.causal = (n + m / 2) % 2 == 0;
      if (c.causal && m % 4 == 1) c.diagonal = Diagonal::kTopLeft;
      list.push_back(c);
    }
  }
}

void add_head_dims(std::vector<AttentionCase>& list) {
  for (int64_t dim : {1, 3, 31, 32, 64, 80, 96, 128, 192, 256, 512, 576}) {
    for (DType dtype : kDTypes) {
      AttentionCase c = sized(17, 65, dim);
      c.dtype = dtype;
      c.heads = 2;
      c.causal = true;
      if (dim == 576) c.v_dim = 512, c.v_in_k = true, c.kv_heads = 1;
      list.push_back(c);
      c.v_dim = dim == 576 ? 512 : dim == 512 ? 257 : 256;
      c.v_in_k = false;
      c.strides = Strides::kOddBase;
      list.push_back(c);
    }
  }
}

// Nothing there, and words that meet in threes.
void add_corners(std::vector<AttentionCase>& list) {
  for (Layout layout : {Layout::kDense, Layout::kRagged}) {
    for (bool sinks : {false, true}) {
      AttentionCase c = sized(5, 0, 16);
      c.layout = layout;
      c.batch = 2;
      c.sinks = sinks ? PerHead::k1D : PerHead::kNone;
      list.push_back(c);  // rows without keys
      c.seqlen_q = 0;
      c.seqlen_k = 7;
      list.push_back(c);
      c.seqlen_k = 0;
      list.push_back(c);
      c.batch = 0;
      c.seqlen_q = 3;
      c.seqlen_k = 4;
      list.push_back(c);
    }
  }
  for (Spread keep : {Spread::kKeys, Spread::kRowsKeys, Spread::kHeadsRowsKeys, Spread::kFull,
                      Spread::kBatchKeys}) {
    for (Spread bias :
         {Spread::kKeys, Spread::kRowsKeys, Spread::kHeadsRowsKeys, Spread::kFull, Spread::kRows}) {
      AttentionCase c = sized(19, 37, 24);
      c.batch = c.heads = 2;
      c.keep = keep;
      c.bias = bias;
      c.mask_with_bias = MaskWithBias::kBoth;
      c.layout = (keep == bias) ? Layout::kRagged : Layout::kDense;
      list.push_back(c);
    }
  }
  for (int32_t block :
       {1, 2, 16, 32}) {  // block diffusion: origin, prefix, hole and start of the rows together
    AttentionCase c = sized(32, 96, 64);
    c.batch = 3;
    c.block_size = block;
    c.block_origin = c.prefix = c.hole = c.q_start = true;
    list.push_back(c);
    c.window_left = 20;
    c.window_right = 5;
    c.layout = Layout::kRagged;
    list.push_back(c);
  }
  for (bool top_left : {false, true}) {
    AttentionCase c = sized(40, 23, 64);  // rows without any key above the diagonal
    c.causal = true;
    c.diagonal = top_left ? Diagonal::kTopLeft : Diagonal::kBottomRight;
    list.push_back(c);
    c.sinks = PerHead::k2D;
    list.push_back(c);
    c.window_left = 0;
    list.push_back(c);
  }
}

std::vector<AttentionCase> smoke_cases() {
  std::vector<AttentionCase> list = two_word_cases(false);
  for (AttentionCase& c : pair_cases(1, false)) list.push_back(std::move(c));
  add_tile_edges(list, false);
  add_head_dims(list);
  add_corners(list);
  return list;
}

std::vector<AttentionCase> full_cases() {
  std::vector<AttentionCase> list = smoke_cases();
  for (AttentionCase& c : two_word_cases(true)) list.push_back(std::move(c));
  for (uint64_t seed = 2; seed < 5; ++seed) {
    for (bool large : {false, true}) {
      for (AttentionCase& c : pair_cases(seed, large)) list.push_back(std::move(c));
    }
  }
  add_tile_edges(list, true);
  AttentionCase many_keys = sized(3, 16500, 64);
  list.push_back(many_keys);
  return list;
}

std::vector<AttentionCase> bench_cases() {
  struct Shape {
    const char* label;
    int64_t batch, heads, kv_heads, seqlen_q, seqlen_k, head_dim, v_dim;
    bool causal;
  };
  constexpr Shape kShapes[] = {
      {"tiny16", 1, 1, 1, 1, 16, 64, 64, false},
      {"tiny8h16", 1, 8, 8, 16, 16, 64, 64, false},
      {"encoder128", 4, 12, 12, 128, 128, 64, 64, false},
      {"prefill512", 1, 32, 8, 512, 512, 128, 128, true},
      {"prefill2k", 1, 32, 8, 2048, 2048, 128, 128, true},
      {"prefill4k_mha64", 1, 16, 16, 4096, 4096, 64, 64, true},
      {"chunk256_4k", 1, 32, 8, 256, 4096, 128, 128, true},
      {"diffusion32_1k", 4, 32, 8, 32, 1024, 128, 128, false},
      {"decode1x4096", 1, 32, 8, 1, 4096, 128, 128, false},
      {"decode8x2048", 8, 32, 8, 1, 2048, 128, 128, false},
      {"decode32x1024", 32, 32, 8, 1, 1024, 128, 128, false},
      {"mla4096", 1, 128, 1, 1, 4096, 576, 512, false},
  };
  std::vector<AttentionCase> list;
  for (const Shape& s : kShapes) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      AttentionCase c;
      c.label = s.label;
      c.batch = s.batch;
      c.heads = s.heads;
      c.kv_heads = s.kv_heads;
      c.seqlen_q = s.seqlen_q;
      c.seqlen_k = s.seqlen_k;
      c.head_dim = s.head_dim;
      c.v_dim = s.v_dim == s.head_dim ? 0 : s.v_dim;
      c.v_in_k = c.v_dim != 0;
      c.causal = s.causal;
      c.dtype = dtype;
      list.push_back(c);
    }
  }
  return list;
}

std::vector<AttentionCase> without_repeats(const std::vector<AttentionCase>& list) {
  std::vector<AttentionCase> unique;
  std::set<std::string> seen;
  for (const AttentionCase& c : list) {
    if (seen.insert(name(c)).second) unique.push_back(c);
  }
  return unique;
}

}  // namespace

std::string name(const AttentionCase& c) {
  std::string s = c.label.empty() ? "" : c.label + "_";
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

std::span<const AttentionCase> cases(Tier tier) {
  static const std::vector<AttentionCase> smoke = without_repeats(smoke_cases());
  if (tier == Tier::kSmoke) return smoke;
  if (tier == Tier::kFull) {
    static const std::vector<AttentionCase> full = without_repeats(full_cases());
    return full;
  }
  static const std::vector<AttentionCase> bench = bench_cases();
  return bench;
}

Tier tier_from_environment() {
  const char* value = std::getenv("ATTEND_TEST_TIER");
  const std::string_view tier = value ? value : "smoke";
  if (tier == "full") return Tier::kFull;
  if (tier == "smoke") return Tier::kSmoke;
  throw std::runtime_error("ATTEND_TEST_TIER is '" + std::string(tier) +
                           "', expected smoke or full");
}

}  // namespace attend::testing
