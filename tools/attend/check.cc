// attend check: every kernel that takes a call, against the float64 oracle and, where the file has it, against the
// expected output.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "attend/error.h"
#include "attend/operator.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tools/attend/call.h"
#include "tools/attend/check_rows.h"
#include "tools/attend/command.h"
#include "tools/attend/convert.h"
#include "tools/attend/distance.h"
#include "tools/attend/elapsed.h"
#include "tools/attend/progress.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

struct CheckFlags {
  CallFlags call;
  std::vector<std::string> ops;
  std::string expected, kernel, tier = "smoke", only;
  std::optional<std::string> device;
  int64_t max_rows = 0;

  // Whether a call is given; without one the shared cases are.
  bool has_call() const {
    return !call.input.empty() || !call.tensors.empty() || !call.scalars.empty() || call.dtype ||
           call.out_dtype || call.prefix || !expected.empty() || max_rows > 0;
  }
};

// A comparison with the expected tensor.
struct Expected {
  bool given = false;
  double max_error = 0, allowed = 0;
  bool ok = true;
};

struct Result {
  std::string input, kernel;
  DType dtype = DType::kF32;
  std::string refused;  // why the row did not run
  std::vector<testing::Accuracy> accuracies;
  Expected expected;
  Timing timing;
  bool first = false;  // the row that forward() chooses
  bool ok() const { return refused.empty() && testing::all_ok(accuracies) && expected.ok; }
};

class Checker {
 public:
  Checker(const CheckFlags& flags, const Shared& shared)
      : flags_(flags), shared_(shared), device_(device_from(flags.device)) {
    if (device_.type != DeviceType::kNative) Registry::global().backend(device_.type);
  }

  void add_input(const std::string& prefix) {
    Call call = load_call<Call>(operators()[0], flags_.call, prefix);
    if (!flags_.expected.empty()) {
      call.expected = call.own(load_ref(flags_.expected, "out"));
      call.expected_name = tensor_ref(flags_.expected).name;
    }
    if (notes_.empty()) notes_ = call.notes;
    std::vector<DType> dtypes = {call.args.q.dtype};
    if (!flags_.call.dtype && call.args.q.dtype == DType::kF32)
      dtypes = {DType::kF32, DType::kBF16, DType::kF16};
    for (DType dtype : dtypes)
      calls_.push_back({prefix, call.args.q.dtype, with_dtype(call, dtype, true)});
  }

  void run() {
    int64_t steps = 0;
    for (const OpId op : operators())
      steps += static_cast<int64_t>(calls_.size() * rows(op).size());
    Progress progress("attend check", steps, shared_.progress);
    for (Input& input : calls_) {
      Outputs outputs;
      outputs.lse = true;
      if (flags_.call.out_dtype) outputs.out_dtype = dtype_from(*flags_.call.out_dtype);
      add_outputs(operators()[0], input.call, outputs);
      for (const OpId op : operators()) check(input, op, progress);
    }
  }

  bool ok() const {
    return std::all_of(results_.begin(), results_.end(),
                       [](const Result& r) { return !r.refused.empty() || r.ok(); }) &&
           oracle_ok_ && ran() > 0;
  }
  size_t ran() const {
    return static_cast<size_t>(std::count_if(results_.begin(), results_.end(),
                                             [](const Result& r) { return r.refused.empty(); }));
  }
  void print_text() const;
  void print_as_json() const;

 private:
  struct Input {
    std::string prefix;
    DType stored;
    Call call;
  };
  struct Reference {  // oracle against expected tensor
    std::string input;
    DType dtype;
    double distance, allowed;  // allowed: of the inputs as stored, else NaN
  };

  std::vector<OpId> operators() const {
    std::vector<OpId> list;
    for (const std::string& word : flags_.ops) list.push_back(op_from_name(word));
    if (list.empty()) list = {OpId::kVanilla, OpId::kFlash};
    return list;
  }
  std::vector<AttentionKernel> rows(OpId op) const {
    const auto span = Registry::global().attention_kernels(op, device_.type);
    std::vector<AttentionKernel> list;
    for (const AttentionKernel& row : span)
      if (flags_.kernel.empty() || flags_.kernel == row.name) list.push_back(row);
    return list;
  }

  void check(Input& input, OpId id, Progress& progress);
  Expected compare_expected(const Input& input, const AttentionParams& params,
                            const testing::Accuracy& out);

  const CheckFlags& flags_;
  const Shared& shared_;
  Device device_;
  std::vector<Input> calls_;
  std::vector<Result> results_;
  std::vector<Reference> references_;
  std::vector<std::string> notes_;
  bool oracle_ok_ = true;
};

Expected Checker::compare_expected(const Input& input, const AttentionParams& params,
                                   const testing::Accuracy& out) {
  Expected result;
  const TensorView &expected = input.call.expected, &actual = input.call.args.out;
  if (!expected) return result;
  if (expected.rank != actual.rank || expected.shape != actual.shape)
    throw Error(ErrorCode::kInvalidArgument, "expected shape is " + shape_text(expected) +
                                                 ", expected that of out, " + shape_text(actual));
  const bool known = std::any_of(references_.begin(), references_.end(), [&](const Reference& r) {
    return r.input == input.prefix && r.dtype == input.call.args.q.dtype;
  });
  // Rounding of the expected tensor itself, which was computed with more bits than it is stored with.
  const double rounding = 2 * testing::unit_roundoff(expected.dtype) * largest(expected) +
                          testing::least_normal(expected.dtype);
  if (!known) {
    const bool as_stored = input.call.args.q.dtype == input.stored;
    references_.push_back({input.prefix, input.call.args.q.dtype,
                           oracle_distance(input.call, params),
                           as_stored ? rounding : std::nan("")});
    if (as_stored && !(references_.back().distance <= rounding)) oracle_ok_ = false;
  }
  const Reference* reference = nullptr;
  for (const Reference& r : references_)
    if (r.input == input.prefix && r.dtype == input.call.args.q.dtype) reference = &r;
  result.given = true;
  result.max_error = distance(actual, expected);
  result.allowed =
      out.allowed_error + (std::isnan(reference->allowed) ? reference->distance : rounding);
  result.ok = result.max_error <= result.allowed;
  return result;
}

void Checker::check(Input& input, OpId id, Progress& progress) {
  const AttentionOp& op = attention_op(id);
  const AttentionParams params = resolved(id, input.call.params);
  Call there = on_device(input.call, device_);
  std::vector<KernelAnswer> answers;
  try {
    answers = op.explain(there.args, there.params, device_);
  } catch (const Error& e) {  // a call that belongs to another operator: the others still run
    if (e.code() != ErrorCode::kUnsupported) throw;
    Result r;
    r.input = input.prefix;
    r.dtype = input.call.args.q.dtype;
    r.kernel = name(id);
    r.refused = e.what();
    results_.push_back(std::move(r));
    return;
  }
  const std::string first = op.supports(there.args, there.params, device_).kernel;
  const testing::JudgeOptions options{flags_.max_rows};
  std::optional<testing::Judge> judge;
  for (const KernelAnswer& answer : answers) {
    if (!flags_.kernel.empty() && flags_.kernel != answer.kernel) continue;
    progress.step(answer.kernel);
    Result r;
    r.input = input.prefix;
    r.dtype = input.call.args.q.dtype;
    r.kernel = answer.kernel;
    if (!answer.status) {
      r.refused = to_string(answer.status);
      results_.push_back(std::move(r));
      continue;
    }
    if (!judge) judge.emplace(input.call.args, params, options);
    poison_outputs(input.call);
    poison_outputs(there);
    if (device_.type != DeviceType::kNative) there = on_device(input.call, device_);
    const auto run = [&] {
      r.kernel = op.run_kernel(answer.kernel, there.args, there.params).kernel;
    };
    run();
    bring_back(there, input.call);
    r.accuracies = judge->compare(input.call.args);
    r.expected = compare_expected(input, params, r.accuracies[0]);
    r.timing = measure(run, 0.05, 20);
    r.first = first == answer.kernel;
    results_.push_back(std::move(r));
  }
}

std::string verdict_word(bool ok) {
  if (isatty(STDOUT_FILENO) != 1) return ok ? "ok" : "FAILED";
  return ok ? "\033[32mok\033[0m" : "\033[1;31mFAILED\033[0m";
}

std::string label(const std::string& prefix) {  // "layer0." as "layer0"
  return prefix.empty() ? "call" : printable(prefix.substr(0, prefix.find_last_not_of("._/-") + 1));
}

void Checker::print_text() const {
  const bool expected = !references_.empty();
  if (!calls_.empty()) {
    std::printf("%s\n", flags_.call.input.empty() ? "tensors of files" : flags_.call.input.c_str());
    for (const std::string& line : describe(calls_[0].call)) std::printf("  %s\n", line.c_str());
    for (const std::string& note : notes_) std::printf("  (%s)\n", note.c_str());
  }
  std::printf(
      "\nout and lse of each kernel against the float64 oracle of the same inputs%s.\n"
      "An error passes while it is not above the one allowed beside it.\n\n",
      expected ? ", out also against the file's expected output" : "");
  std::vector<std::string> headings = {"kernel that ran", ">out error", ">allowed", ">lse error",
                                       ">allowed"};
  if (expected) headings.insert(headings.end(), {">to expected", ">allowed"});
  headings.insert(headings.end(), {">time", "verdict"});
  Table table(headings);
  std::string group;
  double worst = 0;
  std::vector<std::string> failures;
  for (const Result& r : results_) {
    const std::string now = label(r.input) + ", " + name(r.dtype);
    if (now != group) {
      const auto reference = std::find_if(
          references_.begin(), references_.end(),
          [&](const Reference& x) { return x.input == r.input && x.dtype == r.dtype; });
      std::string title = now;
      if (reference != references_.end() && !std::isnan(reference->allowed))
        title += ": oracle to expected " + number(reference->distance, 2) + " of " +
                 number(reference->allowed, 2) + " allowed" +
                 (reference->distance <= reference->allowed ? "" : " FAILED");
      else if (reference != references_.end())
        title += ": rounding the inputs moves the result by " + number(reference->distance, 2);
      if (!group.empty()) table.section("");
      table.section(title);
      group = now;
    }
    if (!r.refused.empty()) {
      table.row({"  " + r.kernel, "refused: " + one_line(r.refused)});
      continue;
    }
    std::vector<std::string> cells = {(r.first ? "> " : "  ") + r.kernel};
    for (size_t i = 0; i < 2; ++i) {
      const bool has = i < r.accuracies.size();
      cells.push_back(has ? number(r.accuracies[i].max_error, 2) : "");
      cells.push_back(has ? number(r.accuracies[i].allowed_error, 2) : "");
      if (has && r.accuracies[i].allowed_error > 0)
        worst = std::max(worst, r.accuracies[i].max_error / r.accuracies[i].allowed_error);
    }
    if (expected)
      cells.insert(cells.end(), {number(r.expected.max_error, 2), number(r.expected.allowed, 2)});
    cells.insert(cells.end(), {duration(r.timing.median), verdict_word(r.ok())});
    table.row(cells);
    if (r.ok()) continue;
    for (const testing::Accuracy& a : r.accuracies)
      if (!a.ok)
        failures.push_back(now + ", " + r.kernel + ": " + a.what + " at " + a.where + "; rms " +
                           number(a.rms_error) + ", allowed " + number(a.allowed_rms));
    if (!r.expected.ok)
      failures.push_back(now + ", " + r.kernel +
                         ": out is further from the expected tensor than allowed");
  }
  std::fputs(table.text().c_str(), stdout);
  std::puts("");
  for (const std::string& line : failures) std::printf("FAILED %s\n", line.c_str());
  const size_t failed =
      static_cast<size_t>(std::count_if(results_.begin(), results_.end(), [](const Result& r) {
        return r.refused.empty() && !r.ok();
      }));
  std::printf(
      "%zu checked, %zu failed, %zu refused; the largest error is %.0f %% of what is allowed. > "
      "marks the kernel that forward() takes.\n",
      ran(), failed, results_.size() - ran(), 100 * worst);
  if (!oracle_ok_)
    std::puts(
        "The oracle and the expected tensor disagree: the file expects something else than this "
        "call means.");
  if (ran() == 0) std::puts("No kernel took the call.");
}

void Checker::print_as_json() const {
  Json json = {{"input", flags_.call.input},
               {"device", to_string(device_)},
               {"notes", notes_},
               {"ok", ok()}};
  json["references"] = Json::array();
  for (const Reference& r : references_)
    json["references"].push_back({{"input", r.input},
                                  {"dtype", name(r.dtype)},
                                  {"oracle_to_expected", r.distance},
                                  {"allowed", r.allowed}});
  json["results"] = Json::array();
  for (const Result& r : results_) {
    Json item = {{"input", r.input}, {"dtype", name(r.dtype)}, {"kernel", r.kernel}};
    if (!r.refused.empty()) {
      item["refused"] = r.refused;
    } else {
      for (const testing::Accuracy& a : r.accuracies)
        item[a.what] = {{"max_error", a.max_error},
                        {"allowed_error", a.allowed_error},
                        {"rms_error", a.rms_error},
                        {"allowed_rms", a.allowed_rms},
                        {"ok", a.ok}};
      if (r.expected.given)
        item["expected"] = {{"max_error", r.expected.max_error},
                            {"allowed_error", r.expected.allowed},
                            {"ok", r.expected.ok}};
      item["seconds"] = r.timing.median;
      item["chosen"] = r.first;
      item["ok"] = r.ok();
    }
    json["results"].push_back(item);
  }
  print_json(json);
}

void check(const CheckFlags& flags, Shared& shared) {
  if (!flags.has_call()) {
    if (const Device device = device_from(flags.device); device.type != DeviceType::kNative)
      throw Error(ErrorCode::kUnsupported,
                  "--device is " + to_string(device) +
                      ", expected native without a call; give FILE or --q, --k, --v");
    RowCheck options;
    options.tier = flags.tier == "full" ? testing::Tier::kFull : testing::Tier::kSmoke;
    options.kernel = flags.kernel;
    options.only = flags.only;
    return check_all(flags.ops, options, shared);
  }
  if (!flags.only.empty())
    throw Error(ErrorCode::kInvalidArgument,
                "--case is given, expected it without a call, whose cases it chooses from");
  Checker checker(flags, shared);
  std::vector<std::string> inputs = {flags.call.prefix.value_or("")};
  if (!flags.call.input.empty() && !flags.call.prefix) {
    inputs = prefixes(TensorFile(flags.call.input));
    if (inputs.empty()) inputs = {""};
  }
  for (const std::string& prefix : inputs) checker.add_input(prefix);
  checker.run();
  if (shared.json)
    checker.print_as_json();
  else
    checker.print_text();
  shared.exit_status = checker.ok() ? 0 : 1;
}

}  // namespace

void add_check(CLI::App& app, Shared& shared) {
  static CheckFlags flags;
  CLI::App* command = app.add_subcommand(
      "check",
      "every kernel that takes a call against the float64 oracle and an expected output; without a "
      "call every row of every operator on the cases of the tests");
  command->add_option("FILE,--input", flags.call.input,
                      "a .safetensors file: every PREFIX with query, key, value (or q, k, v) is a "
                      "call, PREFIX with output (or out) its result");
  command->add_option("--op", flags.ops, "operators; default vanilla,flash, without a call all")
      ->delimiter(',');
  command->add_option("--tier", flags.tier, "without a call: how many cases; full takes minutes")
      ->check(CLI::IsMember({"smoke", "full"}));
  command->add_option("--case", flags.only, "without a call: cases whose name holds this");
  command->add_option("--kernel", flags.kernel, "this row alone");
  command->add_option("--expected", flags.expected, "what out should be")->type_name("FILE[:NAME]");
  command->add_option("--max-rows", flags.max_rows, "compare an even sample of rows; 0 = all")
      ->check(CLI::NonNegativeNumber);
  add_device_flag(*command, flags.device);
  add_shared_flags(*command, shared, true);
  add_call_flags(*command, flags.call, FlagSet::kEvery);
  command->callback([&shared] { check(flags, shared); });
}

}  // namespace attend::cli
