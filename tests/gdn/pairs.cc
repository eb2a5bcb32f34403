#include <functional>

#include "tests/gdn/cases.h"
#include "tests/support/noise.h"

// Every pair of settings in few cases: the next case is the one among many random ones that has
// most pairs that no case has yet.
namespace attend::testing {
namespace {

struct Word {
  size_t levels;
  std::function<void(GdnCase&, size_t)> set;
};

template <class T>
Word word(T GdnCase::*field, std::vector<T> levels) {
  const size_t count = levels.size();
  return {count, [=](GdnCase& c, size_t level) { c.*field = levels[level]; }};
}

const std::vector<Word>& words() {
  static const std::vector<Word> all = {
      word(&GdnCase::dtype, {DType::kF32, DType::kF16, DType::kBF16}),
      word(&GdnCase::out_f32, {false, true}),
      word(&GdnCase::layout, {GdnLayout::kDense, GdnLayout::kRaggedI32, GdnLayout::kRaggedI64}),
      word(&GdnCase::strides, {Strides::kContiguous, Strides::kHeadsFirst, Strides::kLastStep2,
                               Strides::kNegative, Strides::kBroadcast, Strides::kOddBase}),
      word(&GdnCase::state_strides, {GdnStateStrides::kContiguous, GdnStateStrides::kKeysFirst,
                                     GdnStateStrides::kNegative, GdnStateStrides::kLastStep2}),
      word(&GdnCase::sizes, {GdnSizes{1, 1, 8, 8}, GdnSizes{2, 2, 16, 40}, GdnSizes{1, 3, 33, 20},
                             GdnSizes{2, 4, 5, 1}, GdnSizes{4, 2, 24, 33}, GdnSizes{3, 1, 1, 70}}),
      word(&GdnCase::seqlen,
           {int64_t{1}, int64_t{2}, int64_t{9}, int64_t{16}, int64_t{40}, int64_t{70}}),
      word(&GdnCase::decay, {GdnDecay::kG, GdnDecay::kAlpha, GdnDecay::kGates, GdnDecay::kChannelG,
                             GdnDecay::kChannelAlpha}),
      word(&GdnCase::range,
           {GdnRange::kNearOne, GdnRange::kMixed, GdnRange::kStrong, GdnRange::kSteep}),
      word(&GdnCase::gated_beta, {false, true}),
      word(&GdnCase::normalize, {true, false}),
      word(&GdnCase::scale, {Scale::kDefault, Scale::kGiven, Scale::kZero, Scale::kNegative}),
      word(&GdnCase::chunk, {1, 2, 7, 16, 32, 64, 128}),
      word(&GdnCase::states, {GdnStates::kNone, GdnStates::kInPlace, GdnStates::kApart,
                              GdnStates::kFinalOnly, GdnStates::kSameView}),
      word(&GdnCase::slots, {GdnSlots::kNone, GdnSlots::kI32, GdnSlots::kI64, GdnSlots::kPadding}),
      word(&GdnCase::conv, {GdnConv::kNone, GdnConv::kOneTap, GdnConv::kThreeTaps,
                            GdnConv::kFourBias, GdnConv::kFourPlain}),
      word(&GdnCase::conv_state, {false, true}),
      word(&GdnCase::norm, {GdnNorm::kNone, GdnNorm::kF32Weight, GdnNorm::kLikeQ})};
  return all;
}

bool possible(const GdnCase& c) {
  if (c.conv_state && c.conv == GdnConv::kNone) return false;
  return c.slots == GdnSlots::kNone || c.conv_state || c.states != GdnStates::kNone;
}

struct Found {
  std::vector<GdnCase> cases;
  size_t missing = 0;
};

Found make_pairs() {
  std::vector<size_t> first;
  size_t slots = 0;
  for (const Word& w : words()) {
    first.push_back(slots);
    slots += w.levels;
  }
  std::vector<bool> seen(slots * slots, false);
  uint64_t state = 1;
  Found found;
  // One pair is impossible (a past without a convolution), so the search ends when many tries find
  // nothing new.
  for (int fruitless = 0; fruitless < 40;) {
    GdnCase best;
    std::vector<size_t> best_levels;
    size_t most = 0;
    for (int attempt = 0; attempt < 60; ++attempt) {
      std::vector<size_t> levels;
      GdnCase c;
      for (const Word& w : words()) {
        levels.push_back(hash(++state, 7) % w.levels);
        w.set(c, levels.back());
      }
      if (!possible(c)) continue;
      size_t fresh = 0;
      for (size_t x = 0; x < levels.size(); ++x)
        for (size_t y = x + 1; y < levels.size(); ++y)
          fresh += !seen[(first[x] + levels[x]) * slots + first[y] + levels[y]];
      if (fresh > most) best = c, best_levels = levels, most = fresh;
    }
    if (most == 0) {
      ++fruitless;
      continue;
    }
    fruitless = 0;
    for (size_t x = 0; x < best_levels.size(); ++x)
      for (size_t y = x + 1; y < best_levels.size(); ++y)
        seen[(first[x] + best_levels[x]) * slots + first[y] + best_levels[y]] = true;
    found.cases.push_back(best);
  }
  for (size_t x = 0; x < words().size(); ++x)
    for (size_t y = x + 1; y < words().size(); ++y)
      for (size_t i = 0; i < words()[x].levels; ++i)
        for (size_t j = 0; j < words()[y].levels; ++j)
          found.missing += !seen[(first[x] + i) * slots + first[y] + j];
  return found;
}

const Found& found() {
  static const Found all = make_pairs();
  return all;
}

}  // namespace

const std::vector<GdnCase>& gdn_pairs() { return found().cases; }
size_t gdn_missing_pairs() { return found().missing; }

}  // namespace attend::testing
