// Every registered row of every attention operator x every case that it takes, by the error rule of
// contract 8.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "attend/error.h"
#include "tests/kernels/rows.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

// The tensors of a case and what is expected of them; rows of the same case come one after another.
struct Prepared {
  AttentionCase of;
  CaseTensors tensors;
  Judge judge;

  explicit Prepared(const AttentionCase& c)
      : of(c), tensors(make_tensors(c)), judge(tensors.args, tensors.params) {}
};

Prepared& prepared(const AttentionCase& c) {
  static std::optional<Prepared> last;
  if (!last || last->of != c) {
    last.reset();
    last.emplace(c);
  }
  return *last;
}

class EveryKernel : public ::testing::TestWithParam<RowCase> {};

TEST_P(EveryKernel, MatchesOracle) {
  const auto& [op, row, c] = GetParam();
  Prepared& p = prepared(as_read_by(op, *c));
  p.tensors.reset_outputs();
  AttentionParams params = p.tensors.params;
  params.mask.diagonal = c->diagonal;
  RunResult result;
  try {
    result = run_row(*row, p.tensors.args, params);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kUnsupported) GTEST_SKIP() << e.what();
    FAIL() << e.what();
  }
  EXPECT_STREQ(result.kernel, row->name);
  EXPECT_EQ(p.tensors.damaged_guard(), "");
  const auto verdicts = p.judge.compare(p.tensors.args);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryKernel, ::testing::ValuesIn(rows_and_cases()),
                         [](const auto& p) { return test_name(p.param); });

// Calls visit(operator, case, tensors) for the domain of every operator.
template <class Visit>
void each_call(Tier tier, const Visit& visit) {
  for (const AttentionCase& c : cases(tier)) {
    std::optional<CaseTensors> tensors;
    for (OpId op : kAttention) {
      if (!in_domain(op, c)) continue;
      if (!tensors) tensors.emplace(make_tensors(c, Fill::kPlain));
      visit(op, c, *tensors);
    }
  }
}

// Which rows take the cases of the list, asked of every row about every case of its domain.
class PromisedRows : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    each_call(tier_from_environment(), [](OpId op, const AttentionCase& c, const CaseTensors& t) {
      for (DeviceType device : test_devices()) ask(op, device, c, t);
    });
  }
  static void ask(OpId op, DeviceType device, const AttentionCase& c, const CaseTensors& t) {
    AttentionArgs args = t.args;
    AttentionParams params = t.params;
    relabel(args, params, Device{device, 0});
    bool some = false;
    for (const KernelAnswer& answer : attention_op(op).explain(args, params, Device{device, 0})) {
      if (answer.status)
        ++taken[answer.kernel][c.dtype];
      else if (answer.kernel == portable_row(op, device))
        refusals.push_back(name(c) + ": " + to_string(answer.status));
      some = some || answer.status;
    }
    if (!some)
      refusals.push_back(name(c) + ": no row of " + name(op) + " on " + name(device) + " takes it");
  }

  static inline std::map<std::string, std::map<DType, int>> taken;
  static inline std::vector<std::string> refusals;
};

TEST_F(PromisedRows, ThePortableRowTakesEveryCase) {
  for (const std::string& refusal : refusals) ADD_FAILURE() << refusal;
  for (const auto& [op, device] : on_test_devices({std::begin(kAttention), std::end(kAttention)})) {
    int cases_taken = 0;
    for (const auto& [dtype, count] : taken[portable_row(op, device)]) cases_taken += count;
    EXPECT_GT(cases_taken, 200) << portable_row(op, device);
  }
}

// A row that no case reaches, on a machine that has its instructions, would never be tested.
TEST_F(PromisedRows, EveryAvailableRowTakesSomeCase) {
  for (OpId op : kAttention) {
    for (const AttentionKernel& row : test_rows(op)) {
      if (const Status s = row.available(Device{row.device, 0}); !s) {
        std::printf("%s is not available here: %s\n", row.name, to_string(s).c_str());
        continue;
      }
      EXPECT_FALSE(taken[row.name].empty()) << row.name;
      for (const auto& [dtype, count] : taken[row.name]) {
        std::printf("%s takes %d %s cases\n", row.name, count, name(dtype));
        EXPECT_GE(count, 20) << row.name << " " << name(dtype);
      }
    }
  }
}

}  // namespace
}  // namespace attend::testing
