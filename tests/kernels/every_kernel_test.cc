// Every registered row of vanilla and flash x every case that it takes, by the error rule of
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
  const AttentionCase* of;
  CaseTensors tensors;
  Judge judge;

  explicit Prepared(const AttentionCase& c)
      : of(&c), tensors(make_tensors(c)), judge(tensors.args, tensors.params) {}
};

Prepared& prepared(const AttentionCase& c) {
  static std::optional<Prepared> last;
  if (!last || last->of != &c) {
    last.reset();
    last.emplace(c);
  }
  return *last;
}

class EveryKernel : public ::testing::TestWithParam<RowCase> {};

TEST_P(EveryKernel, MatchesOracle) {
  const auto& [op, row, c] = GetParam();
  Prepared& p = prepared(*c);
  p.tensors.reset_outputs();
  RunResult result;
  try {
    result = attention_op(op).run_kernel(row->name, p.tensors.args, p.tensors.params);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kUnsupported) GTEST_SKIP() << e.what();
    FAIL() << e.what();
  }
  EXPECT_STREQ(result.kernel, row->name);
  EXPECT_EQ(p.tensors.damaged_guard(), "");
  const auto verdicts = p.judge.compare(p.tensors.args);
  EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
}

INSTANTIATE_TEST_SUITE_P(Native, EveryKernel, ::testing::ValuesIn(rows_and_cases()),
                         [](const auto& p) { return test_name(p.param); });

// Each operator has one row that accepts every case of its domain, on any CPU; and forward() takes
// them all.
TEST(PromisedRows, ThePortableRowTakesEveryCase) {
  const std::pair<OpId, const char*> portable[] = {{OpId::kVanilla, "vanilla/native/eigen"},
                                                   {OpId::kFlash, "flash/native/portable"}};
  for (const auto& [op, row] : portable) {
    size_t taken = 0;
    for (const AttentionCase& c : cases(tier_from_environment())) {
      if (!in_domain(op, c)) continue;
      const CaseTensors t = make_tensors(c, Fill::kPlain);
      const AttentionOp& attention = attention_op(op);
      EXPECT_TRUE(attention.supports(t.args, t.params, Device{})) << name(c);
      for (const KernelAnswer& answer : attention.explain(t.args, t.params, Device{})) {
        if (std::string(answer.kernel) != row) continue;
        EXPECT_TRUE(bool(answer.status)) << name(c) << ": " << to_string(answer.status);
        ++taken;
      }
    }
    EXPECT_GT(taken, 200u) << row;
  }
}

// A row that no case reaches, on a machine that has its instructions, would never be tested.
TEST(PromisedRows, EveryAvailableRowTakesSomeCase) {
  for (OpId op : {OpId::kVanilla, OpId::kFlash}) {
    for (const AttentionKernel& row :
         Registry::global().attention_kernels(op, DeviceType::kNative)) {
      if (const Status s = row.available(Device{}); !s) {
        std::printf("%s is not available here: %s\n", row.name, to_string(s).c_str());
        continue;
      }
      std::map<DType, int> taken;
      for (const AttentionCase& c : cases(Tier::kSmoke)) {
        if (!in_domain(op, c)) continue;
        const CaseTensors t = make_tensors(c, Fill::kPlain);
        for (const KernelAnswer& answer : attention_op(op).explain(t.args, t.params, Device{})) {
          if (std::string(answer.kernel) == row.name && answer.status) ++taken[c.dtype];
        }
      }
      EXPECT_FALSE(taken.empty()) << row.name;
      for (const auto& [dtype, count] : taken) {
        std::printf("%s takes %d %s cases\n", row.name, count, name(dtype));
        EXPECT_GE(count, 20) << row.name << " " << name(dtype);
      }
    }
  }
}

}  // namespace
}  // namespace attend::testing
