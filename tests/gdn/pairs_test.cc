// Every row of gdn x every pair of settings, against the float64 recurrence by the rule of contract
// 8, with NaN wherever nothing may be read and no byte written that is not the call's.
#include <gtest/gtest.h>

#include "tests/gdn/tensors.h"

namespace attend::testing {
namespace {

struct RowCase {
  std::string row;
  GdnCase c;
};
void PrintTo(const RowCase& p, std::ostream* stream) { *stream << p.row << " on " << name(p.c); }

std::vector<RowCase> rows_and_cases() {
  std::vector<RowCase> list;
  for (const GdnCase& c : gdn_pairs())
    for (const std::string& row : gdn_rows()) list.push_back({row, c});
  return list;
}

// All but the one that cannot be: a past without a convolution.
TEST(GdnPairsList, EveryPairOccurs) { EXPECT_EQ(gdn_missing_pairs(), 1u); }

class GdnPairs : public ::testing::TestWithParam<RowCase> {};

TEST_P(GdnPairs, MatchesTheRecurrence) {
  GdnTensors t(GetParam().c);
  const GdnGold gold = t.gold();
  run_gdn(GetParam().row, t);
  const GdnAllowed allowed = gdn_allowed(GetParam().c.dtype);
  EXPECT_LE(relative_rms(t.args.out, gold.out), allowed.out);
  if (t.kept_state()) {
    EXPECT_LE(relative_rms(t.kept_state(), gold.state), allowed.state);
  }
  if (t.args.conv_state) {
    EXPECT_EQ(relative_rms(t.args.conv_state, gold.conv_state), 0);
  }
  EXPECT_EQ(t.damage(gold), "");
}

INSTANTIATE_TEST_SUITE_P(Rows, GdnPairs, ::testing::ValuesIn(rows_and_cases()), [](const auto& p) {
  std::string text = p.param.row + "__" + name(p.param.c);
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
});

}  // namespace
}  // namespace attend::testing
