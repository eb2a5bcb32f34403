#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "tests/support/cases.h"

// Every pair of settings in few cases: each new case is grown from one pair that no case has yet,
// adding flag by flag the setting that brings most further new pairs. Flags of vanilla alone come
// in a second pass, so that all other pairs occur in cases that flash takes too.
namespace attend::testing {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kF16, DType::kBF16};

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
  PairSearch(Family family, bool large, uint64_t seed)
      : family_(family), flags_(flags(family, large)), random_{seed} {
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
    AttentionCase c = blank(family_);
    for (size_t a = 0; a < flags_.size(); ++a) {
      flags_[a].set(c, static_cast<size_t>(chosen[a]));
      for (size_t b = 0; b < flags_.size(); ++b) {
        covered(a, static_cast<size_t>(chosen[a]), b, static_cast<size_t>(chosen[b])) = true;
      }
    }
    return c;
  }

  Family family_;
  const std::vector<Flag>& flags_;
  Random random_;
  std::vector<size_t> first_;
  size_t slots_ = 0;
  std::vector<bool> covered_;
};

}  // namespace

std::vector<AttentionCase> pair_cases(Family family, uint64_t seed, bool large) {
  const std::vector<Flag>& all = flags(family, large);
  size_t shared = 0;
  while (shared < all.size() && !all[shared].vanilla_only) ++shared;
  PairSearch search(family, large, seed);
  std::vector<AttentionCase> cases;
  search.run(shared, cases);
  if (shared < all.size()) search.run(all.size(), cases);
  return cases;
}

namespace {

// The settings of two_word_cases.
struct Word {
  const Flag* flag;
  size_t level;
  std::string_view name() const { return flag->name; }
};

std::vector<Word> words_of(const std::vector<Flag>& flags, bool all) {
  std::vector<Word> words;
  for (const Flag& flag : flags) {
    const std::string_view name = flag.name;
    if (name == "sizes" || name == "head_dim" || name == "heads" || name == "mask_with_bias")
      continue;
    const bool shape = name == "v_dim" || name == "dtype" || name == "out_f32" || name == "index" ||
                       name == "strides" || name == "bias_dtype";
    if (shape && !all) continue;
    const bool range = name == "causal" || name == "window";
    const size_t full =
        name == "cache" || ((name == "bias" || name == "keep") && flag.levels.size() > 4)
            ? 4
            : flag.levels.size() - 1;
    for (size_t level = 1; level < flag.levels.size(); ++level)
      if (all || range || level == full) words.push_back({&flag, level});
  }
  return words;
}

// What a word needs beside it.
void prepare_for(const Word& word, const std::vector<Flag>& flags, AttentionCase& c) {
  const auto set = [&](std::string_view name, size_t level) {
    for (const Flag& flag : flags) {
      if (name == flag.name) return flag.set(c, std::min(level, flag.levels.size() - 1));
    }
    throw std::logic_error("no flag of this name");
  };
  if (word.name() == "prefix") set("causal", 1);
  if (word.name() == "max_seqlen") set("layout", 1);
  if (word.name() == "bias_dtype") set("bias", 4);
  if (word.name() == "descale") set("cache", 4);
  if (word.name() == "keys_from" && c.keys_from == KeysFrom::kSequsedK) set("table", 1);
}

}  // namespace

std::vector<AttentionCase> two_word_cases(Family family, bool all) {
  const std::vector<Flag>& every = flags(family, false);
  const std::vector<Word> words = words_of(every, all);
  const bool plain = family == Family::kPlain;
  std::vector<AttentionCase> cases;
  for (size_t n = 0; n < words.size(); ++n) {
    for (size_t m = n + 1; m < words.size(); ++m) {
      const Word &a = words[n], &b = words[m];
      if (a.flag == b.flag || !compatible(*a.flag, a.level, *b.flag, b.level)) continue;
      if (!plain && !all && !a.flag->own && !b.flag->own) continue;  // plain calls have them
      AttentionCase c = blank(family);
      c.batch = 2, c.seqlen_q = family == Family::kDecode ? 1 : 21, c.seqlen_k = 43;
      c.heads = 4, c.kv_heads = 2, c.head_dim = 40;
      c.mask_with_bias = MaskWithBias::kBoth;
      c.dtype = kFloats[cases.size() % 3];
      // What they need stands first, so that the pair's own settings win.
      for (const Word* word : {&a, &b}) prepare_for(*word, every, c);
      for (const Word* word : {&a, &b}) word->flag->set(c, word->level);
      cases.push_back(c);
    }
  }
  return cases;
}

}  // namespace attend::testing
