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
