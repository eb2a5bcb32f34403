#include <cstring>
#include <stdexcept>
#include <string_view>

#include "tests/support/cases.h"

// Every pair of settings in few cases: each new case is grown from one pair that no case has yet,
// adding flag by flag the setting that brings most further new pairs. Flags of vanilla alone come
// in a second pass, so that all other pairs occur in cases that flash takes too.
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
constexpr int64_t kSmallDims[] = {1, 3, 31, 32, 64, 80, 128};
constexpr int64_t kLargeDims[] = {2, 33, 40, 64, 96, 192, 256};
constexpr Sizes kHeads[] = {{1, 1}, {4, 4}, {2, 1}, {4, 2}, {8, 2}, {8, 1}};

constexpr Spread kSpreads[] = {Spread::kNone,          Spread::kKeys, Spread::kRowsKeys,
                               Spread::kHeadsRowsKeys, Spread::kFull, Spread::kBatchKeys,
                               Spread::kRows};
constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

std::vector<Flag> make_flags(bool large) {
  const Sizes* sizes = large ? kLarge : kSmall;
  const int64_t* dims = large ? kLargeDims : kSmallDims;
  std::vector<const char*> spreads = {"none", "keys",       "rows_keys", "heads_rows_keys",
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

struct Random {  // splitmix64
  uint64_t state;
  size_t below(size_t n) {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return static_cast<size_t>((z ^ (z >> 31)) % n);
  }
};

struct Pair {
  size_t flag_a, level_a, flag_b, level_b;
};

class PairSearch {
 public:
  PairSearch(const std::vector<Flag>& all, uint64_t seed) : flags_(all), random_{seed} {
    for (const Flag& flag : flags_) {
      first_.push_back(slots_);
      slots_ += flag.levels.size();
    }
    covered_.assign(slots_ * slots_, false);
  }

  // Appends cases until every compatible pair among the first `count` flags occurs.
  void run(size_t count, std::vector<AttentionCase>& cases) {
    std::vector<Pair> missing;
    for (size_t a = 0; a < count; ++a)
      for (size_t b = a + 1; b < count; ++b)
        for (size_t x = 0; x < flags_[a].levels.size(); ++x)
          for (size_t y = 0; y < flags_[b].levels.size(); ++y)
            if (compatible(flags_[a], x, flags_[b], y)) missing.push_back({a, x, b, y});
    while (true) {
      std::erase_if(missing, [&](const Pair& p) {
        return covered(p.flag_a, p.level_a, p.flag_b, p.level_b);
      });
      if (missing.empty()) return;
      cases.push_back(grow(missing[random_.below(missing.size())], count));
    }
  }

 private:
  static constexpr int kOpen = -1;

  std::vector<bool>::reference covered(size_t a, size_t x, size_t b, size_t y) {
    return covered_[(first_[a] + x) * slots_ + first_[b] + y];
  }

  bool fits(const std::vector<int>& chosen, size_t flag, size_t level) const {
    for (size_t other = 0; other < chosen.size(); ++other) {
      if (chosen[other] == kOpen || other == flag) continue;
      if (!compatible(flags_[flag], level, flags_[other], static_cast<size_t>(chosen[other])))
        return false;
    }
    return true;
  }

  AttentionCase grow(const Pair& seed, size_t count) {
    std::vector<int> chosen(flags_.size(), kOpen);
    chosen[seed.flag_a] = static_cast<int>(seed.level_a);
    chosen[seed.flag_b] = static_cast<int>(seed.level_b);
    const size_t start = random_.below(count);
    for (size_t n = 0; n < flags_.size(); ++n) {
      const size_t flag = n < count ? (start + n) % count : n;
      if (chosen[flag] != kOpen) continue;
      const size_t levels = flag < count ? flags_[flag].levels.size() : 1;
      const size_t turn = random_.below(levels);
      int best = kOpen, best_gain = -1;
      for (size_t t = 0; t < levels; ++t) {
        const size_t level = (turn + t) % levels;
        if (!fits(chosen, flag, level)) continue;
        int gain = 0;
        for (size_t other = 0; other < chosen.size(); ++other) {
          if (chosen[other] != kOpen &&
              !covered(flag, level, other, static_cast<size_t>(chosen[other])))
            ++gain;
        }
        if (gain > best_gain) best_gain = gain, best = static_cast<int>(level);
      }
      chosen[flag] = best;
    }
    AttentionCase c;
    for (size_t a = 0; a < flags_.size(); ++a) {
      flags_[a].set(c, static_cast<size_t>(chosen[a]));
      for (size_t b = 0; b < flags_.size(); ++b) {
        covered(a, static_cast<size_t>(chosen[a]), b, static_cast<size_t>(chosen[b])) = true;
      }
    }
    return c;
  }

  const std::vector<Flag>& flags_;
  Random random_;
  std::vector<size_t> first_;
  size_t slots_ = 0;
  std::vector<bool> covered_;
};

}  // namespace

const std::vector<Flag>& flags(bool large) {
  static const std::vector<Flag> small_flags = make_flags(false), large_flags = make_flags(true);
  return large ? large_flags : small_flags;
}

bool compatible(const Flag& a, size_t level_a, const Flag& b, size_t level_b) {
  const auto is = [](const Flag& flag, const char* name) {
    return std::strcmp(flag.name, name) == 0;
  };
  const auto excludes = [&](const Flag& x, size_t lx, const Flag& y, size_t ly) {
    if (is(x, "max_seqlen") && is(y, "layout"))
      return lx == 1 && ly == 0;  // dense lengths are in the shapes
    if (is(x, "prefix") && is(y, "causal")) return lx == 1 && ly == 0;  // replaces the causal rule
    if (is(x, "bias_dtype") && is(y, "bias")) return lx > 0 && ly == 0;
    return false;
  };
  return !excludes(a, level_a, b, level_b) && !excludes(b, level_b, a, level_a);
}

bool has(const AttentionCase& c, const Flag& flag, size_t level) {
  AttentionCase again = c;
  flag.set(again, level);
  return again == c;
}

std::vector<AttentionCase> pair_cases(uint64_t seed, bool large) {
  const std::vector<Flag>& all = flags(large);
  size_t shared = 0;
  while (shared < all.size() && !all[shared].vanilla_only) ++shared;
  PairSearch search(all, seed);
  std::vector<AttentionCase> cases;
  search.run(shared, cases);
  search.run(all.size(), cases);
  return cases;
}

std::vector<AttentionCase> two_word_cases(bool all) {
  const std::vector<Flag>& every = flags(false);
  std::vector<std::pair<const Flag*, size_t>> words;
  for (const Flag& flag : every) {
    const std::string_view name = flag.name;
    if (name == "sizes" || name == "head_dim" || name == "heads" || name == "mask_with_bias")
      continue;
    const bool shape = name == "v_dim" || name == "dtype" || name == "out_f32" || name == "index" ||
                       name == "strides" || name == "bias_dtype";
    if (shape && !all) continue;
    const bool range = name == "causal" || name == "window";
    for (size_t level = 1; level < flag.levels.size(); ++level) {
      const bool full =
          (name == "bias" || name == "keep") ? level == 4 : level + 1 == flag.levels.size();
      if (all || range || full) words.emplace_back(&flag, level);
    }
  }
  const auto find = [&](std::string_view name) -> const Flag& {
    for (const Flag& flag : every) {
      if (name == flag.name) return flag;
    }
    throw std::logic_error("no flag of this name");
  };
  std::vector<AttentionCase> cases;
  for (size_t a = 0; a < words.size(); ++a) {
    for (size_t b = a + 1; b < words.size(); ++b) {
      const auto& [flag_a, level_a] = words[a];
      const auto& [flag_b, level_b] = words[b];
      if (flag_a == flag_b || !compatible(*flag_a, level_a, *flag_b, level_b)) continue;
      AttentionCase c;
      c.batch = 2, c.seqlen_q = 21, c.seqlen_k = 43, c.heads = 4, c.kv_heads = 2, c.head_dim = 40;
      c.mask_with_bias = MaskWithBias::kBoth;
      c.dtype = kFloats[cases.size() % 3];
      // What a word needs stands first, so that the pair's own settings win.
      for (const Flag* flag : {flag_a, flag_b}) {
        if (std::string_view(flag->name) == "prefix") find("causal").set(c, 1);
        if (std::string_view(flag->name) == "max_seqlen") find("layout").set(c, 1);
        if (std::string_view(flag->name) == "bias_dtype") find("bias").set(c, 4);
      }
      flag_a->set(c, level_a);
      flag_b->set(c, level_b);
      cases.push_back(c);
    }
  }
  return cases;
}

}  // namespace attend::testing
