// attend bench: a short measurement of every row on the cases of the benches. The figures to compare and keep are
// those of the programs in bench/.
#include <algorithm>
#include <cstdio>

#include "attend/error.h"
#include "attend/operator.h"
#include "attend/parallel.h"
#include "bench/support/work.h"
#include "tests/kernels/rows.h"
#include "tests/support/cases.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"
#include "tools/attend/call.h"
#include "tools/attend/command.h"
#include "tools/attend/elapsed.h"
#include "tools/attend/progress.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

struct BenchFlags {
  std::vector<std::string> ops;
  std::string only, kernel;
  double seconds = 0.2;
  bool all = false;
};

void bench(const BenchFlags& flags, Shared& shared) {
  std::vector<OpId> ops;
  for (const std::string& word : flags.ops) {
    ops.push_back(op_from_name(word));
    if (ops.back() == OpId::kGdn || ops.back() == OpId::kMerge || ops.back() == OpId::kAppend)
      throw Error(ErrorCode::kUnsupported,
                  "--op is " + word + ", expected an operator with q, k and v; the program " +
                      name(ops.back()) + "_bench measures it");
  }
  if (ops.empty()) ops = {OpId::kFlash};
  // Without --all: the cases that take a moment even where a plain kernel runs them.
  constexpr const char* kShort[] = {"tiny8h16",   "tiny8h64",       "encoder128",
                                    "prefill512", "diffusion32_1k", "decode1x4096"};
  std::vector<testing::AttentionCase> cases;
  for (const testing::AttentionCase& c : testing::cases(testing::Tier::kBench)) {
    const bool is_short = std::any_of(std::begin(kShort), std::end(kShort),
                                      [&](const char* label) { return c.label == label; });
    if (flags.only.empty() ? flags.all || is_short
                           : testing::name(c).find(flags.only) != std::string::npos)
      cases.push_back(c);
  }
  if (cases.empty()) {
    std::vector<std::string> known;
    for (const testing::AttentionCase& c : testing::cases(testing::Tier::kBench))
      known.push_back(testing::name(c));
    throw Error(ErrorCode::kInvalidArgument,
                "--case is '" + flags.only + "', expected part of one of " + join(known));
  }
  int64_t steps = 0;
  for (OpId op : ops)
    steps += static_cast<int64_t>(
        cases.size() * Registry::global().attention_kernels(op, DeviceType::kNative).size());
  Progress progress("attend bench", steps, shared.progress);
  Table table({"kernel", ">median", ">best", ">GFLOP/s", ">GB/s", "verified"});
  Json json = {{"isa", native_isa()}, {"threads", num_threads()}, {"results", Json::array()}};
  size_t ran = 0;
  bool ok = true;
  for (const testing::AttentionCase& c : cases) {
    if (std::none_of(ops.begin(), ops.end(), [&](OpId id) { return testing::in_domain(id, c); }))
      continue;
    testing::CaseTensors tensors = testing::make_tensors(c, testing::Fill::kPlain);
    table.section(testing::name(c));
    for (OpId id : ops) {
      if (!testing::in_domain(id, c)) continue;
      const AttentionOp& op = attention_op(id);
      const AttentionParams params = resolved(id, tensors.params);
      const attend::bench::Work work = attend::bench::work_of(tensors.args, params);
      std::optional<testing::Judge> judge;
      for (const KernelAnswer& answer : op.explain(tensors.args, tensors.params, {})) {
        if (!flags.kernel.empty() &&
            std::string_view(answer.kernel).find(flags.kernel) == std::string_view::npos)
          continue;
        progress.step(std::string(answer.kernel) + " on " + testing::name(c));
        Json item = {{"case", testing::name(c)}, {"kernel", answer.kernel}};
        if (!answer.status) {
          table.row({std::string("  ") + answer.kernel,
                     "refused: " + one_line(to_string(answer.status))});
          item["refused"] = to_string(answer.status);
          json["results"].push_back(item);
          continue;
        }
        if (!judge) judge.emplace(tensors.args, params, testing::JudgeOptions{48});
        ++ran;
        tensors.reset_outputs();
        const auto run = [&] { op.run_kernel(answer.kernel, tensors.args, tensors.params); };
        run();
        const auto accuracies = judge->compare(tensors.args);
        if (!testing::all_ok(accuracies)) {  // a wrong result is not timed
          ok = false;
          table.row({std::string("  ") + answer.kernel,
                     "WRONG: " + one_line(testing::to_string(accuracies))});
          item["ok"] = false;
          json["results"].push_back(item);
          continue;
        }
        const Timing t = measure(run, flags.seconds, 1000000);
        const double gflops = work.flop / t.median * 1e-9, gbytes = work.bytes / t.median * 1e-9;
        table.row({std::string("  ") + answer.kernel, duration(t.median), duration(t.best),
                   number(gflops), number(gbytes), "ok"});
        item["seconds"] = {{"median", t.median}, {"best", t.best}, {"runs", t.runs}};
        item["gflops"] = gflops;
        item["gbytes_per_second"] = gbytes;
        item["ok"] = true;
        json["results"].push_back(item);
      }
    }
  }
  shared.exit_status = ok && ran > 0 ? 0 : 1;
  if (shared.json) return print_json(json);
  std::printf(
      "%s, %d threads; a sample of rows is compared with the float64 oracle before a kernel is "
      "timed\n\n",
      native_isa(), num_threads());
  std::fputs(table.text().c_str(), stdout);
  if (ran == 0) std::puts("No kernel took a case.");
}

}  // namespace

void add_bench(CLI::App& app, Shared& shared) {
  static BenchFlags flags;
  CLI::App* command =
      app.add_subcommand("bench", "a short measurement of every kernel, each verified first");
  command->add_option("--op", flags.ops, "operators with q, k and v; default flash")
      ->delimiter(',');
  command->add_option("--case", flags.only, "cases whose name holds this");
  command->add_option("--kernel", flags.kernel, "kernels whose name holds this");
  command->add_option("--seconds", flags.seconds, "for each kernel and case")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_flag("--all", flags.all, "all cases: minutes");
  add_shared_flags(*command, shared, true);
  command->callback([&shared] { bench(flags, shared); });
}

}  // namespace attend::cli
