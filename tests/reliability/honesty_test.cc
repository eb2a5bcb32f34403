// No word is ignored: set to a value that is not neutral, it changes the result as the oracle says,
// or the call is refused and the refusal names it. The words are those of ops/words.h, so that a
// new field without a trial fails here.
#include <gtest/gtest.h>

#include <set>

#include "ops/words.h"
#include "tests/kernels/rows.h"
#include "tests/reliability/honest_call.h"
#include "tests/support/judge.h"
#include "tests/support/thrown.h"

namespace attend::testing {
namespace {

std::set<std::string> all_words() {
  std::set<std::string> names;
  for (const auto& word : words<AttentionArgs, AttentionParams>()) names.insert(word.name);
  return names;
}

TEST(Honesty, EveryWordHasItsTrial) {
  std::set<std::string> tried;
  for (const WordTrial& trial : word_trials())
    EXPECT_TRUE(tried.insert(trial.word).second) << trial.word << " twice";
  EXPECT_EQ(tried, all_words());
}

struct Types {
  DType dtype, cache;
};
// Descales are legal with an 8-bit cache alone, and others without.
std::vector<Types> types_of(OpId op, const std::string& word) {
  const bool cache = op == OpId::kPaged || op == OpId::kDecode;
  if (cache && word.find("descale") != std::string::npos)
    return {{DType::kF32, DType::kI8}, {DType::kBF16, DType::kF8E4M3}};
  if (cache)
    return {
        {DType::kF32, DType::kF32}, {DType::kBF16, DType::kBF16}, {DType::kF16, DType::kF8E5M2}};
  return {{DType::kF32, DType::kF32}, {DType::kBF16, DType::kBF16}};
}

// What a trial came to.
enum class Outcome : uint8_t { kChanged, kSame, kRefused, kRowRefuses };
struct Answer {
  Outcome outcome;
  std::string words;
};

Answer try_word(const AttentionKernel& row, const WordTrial& trial, Types types) {
  HonestCall plain(row.op, types.dtype, types.cache);
  if (const Thrown e = thrown([&] { run_row(row, plain.args, plain.params); });
      e.code != ErrorCode::kOk)
    return {Outcome::kRowRefuses, e.what};

  HonestCall before(row.op, types.dtype, types.cache), after(row.op, types.dtype, types.cache);
  trial.beside(before);
  trial.beside(after);
  trial.set(after);
  const Thrown first = thrown([&] { run_row(row, before.args, before.params); });
  const Thrown e = thrown([&] { run_row(row, after.args, after.params); });
  if (e.code != ErrorCode::kOk) return {Outcome::kRefused, e.what};
  // What the oracle makes of the pages that the call has stored is what the judge asks first.
  const auto verdicts = judge(after.args, after.as_read());
  EXPECT_TRUE(all_ok(verdicts)) << row.name << " " << trial.word << "\n" << to_string(verdicts);
  if (first.code != ErrorCode::kOk) return {Outcome::kChanged, first.what};
  return {before.written() == after.written() ? Outcome::kSame : Outcome::kChanged, ""};
}

class Honesty : public ::testing::TestWithParam<OpOnDevice> {};
INSTANTIATE_TEST_SUITE_P(Rows, Honesty,
                         ::testing::ValuesIn(on_test_devices({std::begin(kAttention),
                                                              std::end(kAttention)})),
                         [](const auto& p) { return test_name_of(p.param); });

bool is_bound(const std::string& word) { return word.starts_with("max_seqlen_"); }

TEST_P(Honesty, NoWordIsIgnored) {
  const auto& [op, device] = GetParam();
  for (const WordTrial& trial : word_trials()) {
    // A ring of several ranks is tests/ring's.
    if (op == OpId::kRing && std::string(trial.word) == "ring_transport") continue;
    int taken = 0;
    for (const AttentionKernel& row : Registry::global().attention_kernels(op, device))
      for (const Types types : types_of(op, trial.word)) {
        const auto [outcome, said] = try_word(row, trial, types);
        const std::string what =
            std::string(row.name) + " " + name(types.dtype) + ", " + trial.word;
        if (outcome == Outcome::kRowRefuses) continue;
        ++taken;
        // Lengths in a device's memory are not read before the launch: what the kernel says names
        // the length that is over the bound.
        if (device != DeviceType::kNative && is_bound(trial.word)) continue;
        if (outcome == Outcome::kRefused) {
          const bool named = said.find(trial.word) != std::string::npos ||
                             (trial.or_says && said.find(trial.or_says) != std::string::npos);
          EXPECT_TRUE(named) << what << ": " << said;
        } else if (trial.permission) {
          EXPECT_EQ(outcome, Outcome::kSame) << what;
        } else {
          EXPECT_EQ(outcome, Outcome::kChanged) << what << " is set and changes nothing";
        }
      }
    EXPECT_GT(taken, 0) << name(op) << " " << trial.word;
  }
}

// append computes no score: whatever is not about storing rows is refused.
TEST(Honesty, OfAppend) {
  const std::set<std::string> taken = {"k",         "v",         "k_new",       "v_new",
                                       "k_descale", "v_descale", "slot_mapping"};
  for (const WordTrial& trial : word_trials()) {
    if (taken.count(trial.word) || trial.permission) continue;
    HonestCall call(OpId::kPaged, DType::kF32, DType::kF32),
        other(OpId::kPaged, DType::kF32, DType::kF32);
    call.own_rows();
    call.args.q = call.args.out = call.args.lse = {};
    call.args.seq = {};
    call.args.seq.slot_mapping = call.ints({12, 13, 20, -1, -1, -5, -1, -1, -1, -1});
    const AttentionArgs args = call.args;
    const auto cache = call.written();
    if (call.rows > 1) trial.set(call);
    call.args.k = args.k;
    call.args.v = args.v;
    if (std::string(trial.word) == "deterministic") continue;  // dropout_p decides, which is tried
    const Thrown e = thrown([&] { attention_op(OpId::kAppend).forward(call.args, call.params); });
    EXPECT_NE(e.code, ErrorCode::kOk) << trial.word;
    const bool named = e.says(trial.word) || e.says("bias") || e.says("dropout");
    EXPECT_TRUE(named) << trial.word << ": " << e.what;
  }
}

}  // namespace
}  // namespace attend::testing
