#include "tests/support/cases.h"

#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string_view>

namespace attend::testing {
namespace {

constexpr Family kFamilies[] = {Family::kPlain, Family::kSplash, Family::kPaged, Family::kDecode};

std::vector<AttentionCase> smoke_cases() {
  std::vector<AttentionCase> list;
  for (Family family : kFamilies) {
    for (AttentionCase& c : two_word_cases(family, false)) list.push_back(std::move(c));
    for (AttentionCase& c : pair_cases(family, 1, false)) list.push_back(std::move(c));
  }
  for (AttentionCase& c : edge_cases(false)) list.push_back(std::move(c));
  return list;
}

std::vector<AttentionCase> full_cases() {
  std::vector<AttentionCase> list = smoke_cases();
  for (Family family : kFamilies) {
    for (AttentionCase& c : two_word_cases(family, true)) list.push_back(std::move(c));
    for (uint64_t seed = 2; seed < 5; ++seed) {
      for (bool large : {false, true}) {
        for (AttentionCase& c : pair_cases(family, seed, large)) list.push_back(std::move(c));
      }
    }
  }
  for (AttentionCase& c : edge_cases(true)) list.push_back(std::move(c));
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
