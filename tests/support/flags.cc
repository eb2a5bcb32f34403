#include <cstring>
#include <stdexcept>
#include <string_view>

#include "tests/support/cases.h"

// The flags of each family: those of plain calls as they are, for the others thinned out, since one
// tile engine serves them all, and each family's own words in full.
namespace attend::testing {
namespace {

using C = AttentionCase;

struct Sizes {
  int64_t q, k;
};
constexpr Sizes kSmall[] = {{1, 1},   {1, 33},  {16, 16}, {17, 31},
                            {33, 17}, {31, 65}, {64, 48}, {65, 129}};
constexpr Sizes kLarge[] = {{1, 513},   {127, 128}, {129, 255}, {63, 257},
                            {257, 129}, {5, 511},   {192, 47},  {300, 300}};
constexpr Sizes kOneRow[] = {{1, 0},  {1, 1},  {1, 15},  {1, 33},
                             {1, 64}, {1, 65}, {1, 129}, {1, 200}};
constexpr int64_t kSmallDims[] = {1, 3, 31, 32, 64, 80, 128};
constexpr int64_t kLargeDims[] = {2, 33, 40, 64, 96, 192, 256};
constexpr Sizes kHeads[] = {{1, 1}, {4, 4}, {2, 1}, {4, 2}, {8, 2}, {8, 1}};
constexpr int64_t kPageSizes[] = {1, 2, 8, 16, 64, 256};
constexpr Sizes kBlockMask[] = {{16, 16}, {5, 7}, {1, 40}, {32, 64}, {128, 1}};

constexpr Spread kSpreads[] = {Spread::kNone,          Spread::kKeys, Spread::kRowsKeys,
                               Spread::kHeadsRowsKeys, Spread::kFull, Spread::kBatchKeys,
                               Spread::kRows};
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

std::vector<Flag> plain_flags(bool large, const Sizes* sizes) {
  const int64_t* dims = large ? kLargeDims : kSmallDims;
  const std::vector<const char*> spreads = {"none", "keys",       "rows_keys", "heads_rows_keys",
                                            "full", "batch_keys", "rows"};
  return {
      {"sizes",
       {"0", "1", "2", "3", "4", "5", "6", "7"},
       [=](C& c, size_t n) { c.seqlen_q = sizes[n].q, c.seqlen_k = sizes[n].k; }},
      {"head_dim",
       {"0", "1", "2", "3", "4", "5", "6"},
       [=](C& c, size_t n) { c.head_dim = dims[n]; }},
      {"v_dim",
       {"same", "9", "65"},
       [](C& c, size_t n) { c.v_dim = n == 0   ? 0
                                      : n == 1 ? 9
                                               : 65; }},
      {"heads",
       {"1x1", "4x4", "2x1", "4x2", "8x2", "8x1"},
       [](C& c, size_t n) { c.heads = kHeads[n].q, c.kv_heads = kHeads[n].k; }},
      {"dtype", {"f32", "f16", "bf16"}, [](C& c, size_t n) { c.dtype = kFloats[n]; }},
      {"out_f32", {"no", "yes"}, [](C& c, size_t n) { c.out_f32 = n == 1; }},
      {"layout",
       {"dense", "ragged"},
       [](C& c, size_t n) {
         c.layout = n ? Layout::kRagged : Layout::kDense, c.batch = n ? 4 : 2;
       }},
      {"index", {"i32", "i64"}, [](C& c, size_t n) { c.index = n ? DType::kI64 : DType::kI32; }},
      {"max_seqlen", {"no", "yes"}, [](C& c, size_t n) { c.max_seqlen = n == 1; }},
      {"strides",
       {"contiguous", "heads_first", "last_step_2", "negative", "broadcast", "odd_base"},
       [](C& c, size_t n) { c.strides = static_cast<Strides>(n); }},
      {"seqused_q", {"no", "yes"}, [](C& c, size_t n) { c.seqused_q = n == 1; }},
      {"seqused_k", {"no", "yes"}, [](C& c, size_t n) { c.seqused_k = n == 1; }},
      {"lse", {"no", "yes"}, [](C& c, size_t n) { c.lse = n == 1; }},
      {"scale",
       {"default", "given", "zero", "negative"},
       [](C& c, size_t n) { c.scale = static_cast<Scale>(n); }},
      {"softcap", {"off", "on"}, [](C& c, size_t n) { c.softcap = n ? 2.0f : 0.0f; }},
      {"bias", spreads, [](C& c, size_t n) { c.bias = kSpreads[n]; }},
      {"bias_dtype", {"f32", "f16", "bf16"}, [](C& c, size_t n) { c.bias_dtype = kFloats[n]; }},
      {"alibi", {"none", "1d", "2d"}, [](C& c, size_t n) { c.alibi = static_cast<PerHead>(n); }},
      {"sinks", {"none", "1d", "2d"}, [](C& c, size_t n) { c.sinks = static_cast<PerHead>(n); }},
      {"causal",
       {"none", "causal", "block", "block_origin"},
       [](C& c, size_t n) {
         c.causal = n == 1, c.block_size = n >= 2 ? 4 : 0, c.block_origin = n == 3;
       }},
      {"diagonal",
       {"default", "bottom_right", "top_left"},
       [](C& c, size_t n) {
         c.diagonal = n == 0   ? Diagonal::kOperatorDefault
                      : n == 1 ? Diagonal::kBottomRight
                               : Diagonal::kTopLeft;
       }},
      {"window",
       {"none", "left", "right", "both"},
       [](C& c, size_t n) { c.window_left = n & 1 ? 7 : -1, c.window_right = n & 2 ? 3 : -1; }},
      {"q_start", {"no", "yes"}, [](C& c, size_t n) { c.q_start = n == 1; }},
      {"prefix", {"no", "yes"}, [](C& c, size_t n) { c.prefix = n == 1; }},
      {"hole", {"no", "yes"}, [](C& c, size_t n) { c.hole = n == 1; }},
      {"segments", {"no", "yes"}, [](C& c, size_t n) { c.segments = n == 1; }},
      {"keep", spreads, [](C& c, size_t n) { c.keep = kSpreads[n]; }},
      {"mask_with_bias",
       {"both", "bias_only"},
       [](C& c, size_t n) {
         c.mask_with_bias = n ? MaskWithBias::kBiasOnly : MaskWithBias::kBoth;
       }},
      {"weights",
       {"no", "f32", "dtype"},
       [](C& c, size_t n) { c.weights = n > 0, c.weights_f32 = n != 2; },
       true},
      {"scores",
       {"no", "scaled", "capped", "masked"},
       [](C& c, size_t n) {
         c.scores = n > 0;
         c.scores_stage = n == 1   ? ScoresStage::kScaled
                          : n == 2 ? ScoresStage::kCapped
                                   : ScoresStage::kMasked;
       },
       true},
      {"dropout", {"no", "yes"}, [](C& c, size_t n) { c.dropout_p = n ? 0.25f : 0.0f; }, true},
  };
}

// Words of caches.
std::vector<Flag> cache_flags() {
  return {
      {"cache",
       {"dtype", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", "i8", "f8_e4m3_and_bf16",
        "i8_and_f8_e5m2"},
       [](C& c, size_t n) {
         constexpr std::optional<DType> kCaches[][2] = {{},
                                                        {DType::kF32, DType::kF32},
                                                        {DType::kF16, DType::kF16},
                                                        {DType::kBF16, DType::kBF16},
                                                        {DType::kF8E4M3, DType::kF8E4M3},
                                                        {DType::kF8E5M2, DType::kF8E5M2},
                                                        {DType::kI8, DType::kI8},
                                                        {DType::kF8E4M3, DType::kBF16},
                                                        {DType::kI8, DType::kF8E5M2}};
         c.k_cache = kCaches[n][0], c.v_cache = kCaches[n][1];
       },
       false,
       true},
      {"descale",
       {"none", "scalar", "one", "heads", "batch_heads"},
       [](C& c, size_t n) { c.descale = static_cast<Descale>(n); },
       false,
       true},
      {"v_dim",
       {"same", "9", "in_k"},
       [](C& c, size_t n) { c.v_dim = n == 1 ? 9 : 0, c.v_in_k = n == 2; }},
      {"diagonal",
       {"default", "bottom_right"},
       [](C& c, size_t n) {
         c.diagonal = n == 0 ? Diagonal::kOperatorDefault : Diagonal::kBottomRight;
       }},
  };
}

std::vector<Flag> paged_flags() {
  return {
      {"page_size",
       {"1", "2", "8", "16", "64", "256"},
       [](C& c, size_t n) { c.page_size = kPageSizes[n]; },
       false,
       true},
      {"table",
       {"block_table", "csr"},
       [](C& c, size_t n) { c.table = static_cast<PageTable>(n); },
       false,
       true},
      {"keys_from",
       {"seqused_k", "cu_seqlens_k", "context_lens", "all_words", "csr_alone"},
       [](C& c, size_t n) { c.keys_from = static_cast<KeysFrom>(n); },
       false,
       true},
      {"own_rows",
       {"none", "not_stored", "stored", "some_stored", "batched"},
       [](C& c, size_t n) { c.own_rows = static_cast<OwnRows>(n); },
       false,
       true},
      {"max_seqlen_k", {"no", "yes"}, [](C& c, size_t n) { c.max_seqlen = n == 1; }},
  };
}

std::vector<Flag> decode_flags() {
  return {{"range",
           {"whole", "start", "end", "start_end"},
           [](C& c, size_t n) { c.start = n & 1, c.end = n & 2; },
           false,
           true}};
}

std::vector<Flag> block_mask_flags() {
  return {{"block_mask",
           {"rows_keys", "keys", "heads_rows_keys", "full", "batch_keys", "rows"},
           [](C& c, size_t n) {
             constexpr Spread kOrder[] = {Spread::kRowsKeys,      Spread::kKeys,
                                          Spread::kHeadsRowsKeys, Spread::kFull,
                                          Spread::kBatchKeys,     Spread::kRows};
             c.block_mask = kOrder[n];
           },
           false,
           true},
          {"block_size_qk",
           {"16x16", "5x7", "1x40", "32x64", "128x1"},
           [](C& c, size_t n) {
             c.block_mask_q = static_cast<int32_t>(kBlockMask[n].q);
             c.block_mask_k = static_cast<int32_t>(kBlockMask[n].k);
           },
           false,
           true}};
}

// Levels of a flag, renumbered.
Flag only(const Flag& flag, const std::vector<size_t>& levels) {
  Flag thin = flag;
  thin.levels.clear();
  for (size_t level : levels) thin.levels.push_back(flag.levels[level]);
  thin.set = [set = flag.set, levels](C& c, size_t n) { set(c, levels[n]); };
  return thin;
}

// The levels that smoke keeps of plain words in other families.
std::vector<size_t> thin_levels(std::string_view name) {
  if (name == "sizes") return {0, 1, 3, 4, 7};
  if (name == "head_dim") return {1, 3, 4, 5};
  if (name == "heads") return {0, 3, 5};
  if (name == "scale") return {0, 1, 3};
  if (name == "bias" || name == "keep") return {0, 4, 5};
  if (name == "bias_dtype") return {0, 2};
  if (name == "alibi" || name == "sinks") return {0, 2};
  if (name == "window") return {0, 1, 3};
  return {};
}

std::vector<Flag> make_flags(Family family, bool large) {
  const bool one_row = family == Family::kDecode;
  std::vector<Flag> all;
  const auto add = [&](const std::vector<Flag>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  const std::vector<Flag> plain = plain_flags(large, one_row ? kOneRow : large ? kLarge : kSmall);
  if (family == Family::kPlain) return plain;
  if (family == Family::kSplash) add(block_mask_flags());
  if (family == Family::kPaged || family == Family::kDecode) add(cache_flags());
  if (family == Family::kPaged) add(paged_flags());
  if (family == Family::kDecode) add(decode_flags());
  const size_t own = all.size();
  for (const Flag& flag : plain) {
    const std::string_view name = flag.name;
    bool taken = flag.vanilla_only;
    for (size_t n = 0; n < own; ++n) taken = taken || name == all[n].name;
    if (family == Family::kPaged && (name == "max_seqlen" || name == "seqused_k")) taken = true;
    if (one_row && (name == "layout" || name == "max_seqlen")) taken = true;
    if (taken) continue;
    // A single row is cheap enough for all of them.
    std::vector<size_t> levels = large || one_row ? std::vector<size_t>{} : thin_levels(name);
    // One query row against a block mask is vanilla's.
    if (family == Family::kSplash && name == "sizes") levels = {3, 4, 7};
    all.push_back(levels.empty() ? flag : only(flag, levels));
  }
  return all;
}

}  // namespace

const std::vector<Flag>& flags(Family family, bool large) {
  static const std::vector<Flag> all[4][2] = {
      {make_flags(Family::kPlain, false), make_flags(Family::kPlain, true)},
      {make_flags(Family::kSplash, false), make_flags(Family::kSplash, true)},
      {make_flags(Family::kPaged, false), make_flags(Family::kPaged, true)},
      {make_flags(Family::kDecode, false), make_flags(Family::kDecode, true)}};
  return all[static_cast<size_t>(family)][large ? 1 : 0];
}

AttentionCase blank(Family family) {
  AttentionCase c;
  c.family = family;
  c.batch = family == Family::kDecode ? 3 : 2;
  if (family == Family::kPaged) c.page_size = 16;
  if (family == Family::kSplash)
    c.block_mask = Spread::kRowsKeys, c.block_mask_q = c.block_mask_k = 16;
  return c;
}

bool compatible(const Flag& a, size_t level_a, const Flag& b, size_t level_b) {
  const auto excludes = [](const Flag& x, size_t lx, const Flag& y, size_t ly) {
    const auto are = [&](const char* name_x, const char* level_x, const char* name_y,
                         const char* level_y) {
      return std::strcmp(x.name, name_x) == 0 && std::strcmp(x.levels[lx], level_x) == 0 &&
             std::strcmp(y.name, name_y) == 0 && std::strcmp(y.levels[ly], level_y) == 0;
    };
    const auto is = [&](const char* name_x, const char* name_y) {
      return std::strcmp(x.name, name_x) == 0 && std::strcmp(y.name, name_y) == 0;
    };
    const std::string_view cache = is("descale", "cache") ? y.levels[ly] : "";
    return are("max_seqlen", "yes", "layout", "dense") ||  // dense lengths are in the shapes
           are("prefix", "yes", "causal", "none") ||       // replaces the causal rule
           (is("bias_dtype", "bias") && lx > 0 && ly == 0) ||
           // What is not quantised has no descale.
           (lx > 0 && (cache == "dtype" || cache == "f32" || cache == "f16" || cache == "bf16")) ||
           // v in the memory of k has its element type.
           are("v_dim", "in_k", "cache", "f8_e4m3_and_bf16") ||
           are("v_dim", "in_k", "cache", "i8_and_f8_e5m2") ||
           are("keys_from", "csr_alone", "table", "block_table") ||
           are("seqused_k", "yes", "range", "end") || are("seqused_k", "yes", "range", "start_end");
  };
  return !excludes(a, level_a, b, level_b) && !excludes(b, level_b, a, level_a);
}

bool has(const AttentionCase& c, const Flag& flag, size_t level) {
  AttentionCase again = c;
  flag.set(again, level);
  return again == c;
}

}  // namespace attend::testing
