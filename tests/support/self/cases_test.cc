#include "tests/support/cases.h"

#include <gtest/gtest.h>

#include <set>

namespace attend::testing {
namespace {

bool occurs(std::span<const AttentionCase> list, const Flag& a, size_t x, const Flag& b, size_t y,
            bool for_flash) {
  for (const AttentionCase& c : list) {
    if ((!for_flash || !c.vanilla_only()) && has(c, a, x) && has(c, b, y)) return true;
  }
  return false;
}

class CasesOf : public ::testing::TestWithParam<Family> {};

std::string family_name(const ::testing::TestParamInfo<Family>& info) {
  constexpr const char* kNames[] = {"plain", "splash", "paged", "decode"};
  return kNames[static_cast<size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(All, CasesOf,
                         ::testing::Values(Family::kPlain, Family::kSplash, Family::kPaged,
                                           Family::kDecode),
                         family_name);

// Pairs of flags that flash has must occur in cases that flash takes.
TEST_P(CasesOf, EveryPairOfFlagsOccurs) {
  const auto& all = flags(GetParam(), false);
  std::vector<AttentionCase> list;
  for (const AttentionCase& c : cases(Tier::kSmoke))
    if (c.family == GetParam()) list.push_back(c);
  size_t pairs = 0, refused = 0;
  for (size_t a = 0; a < all.size(); ++a)
    for (size_t b = a + 1; b < all.size(); ++b)
      for (size_t x = 0; x < all[a].levels.size(); ++x)
        for (size_t y = 0; y < all[b].levels.size(); ++y) {
          if (!compatible(all[a], x, all[b], y)) {
            ++refused;
            continue;
          }
          ++pairs;
          const bool for_flash = !all[a].vanilla_only && !all[b].vanilla_only;
          EXPECT_TRUE(occurs(list, all[a], x, all[b], y, for_flash))
              << all[a].name << "=" << all[a].levels[x] << " with " << all[b].name << "="
              << all[b].levels[y];
        }
  EXPECT_GT(pairs, GetParam() == Family::kPlain ? 4000u : 1500u);
  EXPECT_LE(refused, 30u);  // what the contract itself excludes, no more
}

TEST(Cases, NamesAreUniqueAndLegal) {
  for (Tier tier : {Tier::kSmoke, Tier::kFull, Tier::kBench}) {
    std::set<std::string> names;
    for (const AttentionCase& c : cases(tier)) {
      EXPECT_TRUE(names.insert(name(c)).second) << name(c);
      EXPECT_EQ(name(c).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"),
                std::string::npos)
          << name(c);
    }
  }
}

TEST(Cases, NamesSayTheCase) {
  AttentionCase c;
  c.batch = 2, c.seqlen_q = 17, c.seqlen_k = 45, c.heads = 4, c.kv_heads = 2, c.dtype = DType::kF16;
  c.causal = true, c.diagonal = Diagonal::kBottomRight, c.window_left = 9, c.softcap = 5;
  EXPECT_EQ(name(c), "b2_sq17_sk45_h4x2_d64_f16_cap5_causal_br_wl9");
  c.family = Family::kPaged, c.page_size = 8, c.own_rows = OwnRows::kSomeStored;
  c.k_cache = DType::kF8E4M3, c.table = PageTable::kCsr;
  EXPECT_EQ(name(c),
            "paged_b2_sq17_sk45_h4x2_d64_f16_kf8_e4m3_page8_csr_somestored_cap5_causal_br_wl9");
}

TEST(Cases, TileEdgesOccurAsRowsAndAsKeys) {
  std::set<int64_t> rows, keys, dims;
  for (const AttentionCase& c : cases(Tier::kSmoke))
    rows.insert(c.seqlen_q), keys.insert(c.seqlen_k), dims.insert(c.head_dim);
  for (int64_t tile : {16, 32, 48, 64, 128, 256, 512}) {
    for (int64_t n : {tile - 1, tile, tile + 1}) EXPECT_TRUE(rows.count(n) && keys.count(n)) << n;
  }
  EXPECT_TRUE(rows.count(0) && rows.count(1) && keys.count(0) && keys.count(1));
  for (int64_t dim : {1, 3, 31, 32, 64, 80, 96, 128, 192, 256, 512, 576})
    EXPECT_TRUE(dims.count(dim)) << dim;
}

TEST(Cases, TiersGrow) {
  EXPECT_GT(cases(Tier::kFull).size(), 2 * cases(Tier::kSmoke).size());
  RecordProperty("smoke", static_cast<int>(cases(Tier::kSmoke).size()));
  RecordProperty("full", static_cast<int>(cases(Tier::kFull).size()));
}

}  // namespace
}  // namespace attend::testing
