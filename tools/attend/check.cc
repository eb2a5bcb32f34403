// attend check: every kernel that takes a call, against the float64 oracle and, where the file has it, against the
// expected output.
#include <algorithm>
#include <cmath>

#include "attend/error.h"
#include "attend/operator.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tools/attend/call.h"
#include "tools/attend/check_call.h"
#include "tools/attend/check_rows.h"
#include "tools/attend/command.h"
#include "tools/attend/convert.h"
#include "tools/attend/devices.h"
#include "tools/attend/distance.h"
#include "tools/attend/elapsed.h"
#include "tools/attend/progress.h"
#include "tools/attend/text.h"

namespace attend::cli {

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
    if (device_.type != DeviceType::kNative) there = on_device(input.call, device_);
    ExecContext context;
    context.device = device_;
    context.check_indices = CheckIndices::kOn;
    const auto run = [&] {
      r.kernel = op.run_kernel(answer.kernel, there.args, there.params, context).kernel;
      if (device_.type != DeviceType::kNative) context.check();  // waits for it, too
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

namespace {

// One call on the rows of one device.
bool check_call(const CheckFlags& flags, Device device, const Shared& shared, Json* json) {
  Checker checker(flags, device, shared);
  std::vector<std::string> inputs = {flags.call.prefix.value_or("")};
  if (!flags.call.input.empty() && !flags.call.prefix) {
    inputs = prefixes(TensorFile(flags.call.input));
    if (inputs.empty()) inputs = {""};
  }
  for (const std::string& prefix : inputs) checker.add_input(prefix);
  checker.run();
  if (json != nullptr)
    json->push_back(checker.as_json());
  else
    checker.print_text();
  return checker.ok();
}

void check(const CheckFlags& flags, Shared& shared) {
  const std::vector<Device> devices = devices_from(flags.device);
  if (!flags.has_call()) {
    RowCheck options;
    options.devices = devices;
    options.tier = flags.tier == "full" ? testing::Tier::kFull : testing::Tier::kSmoke;
    options.kernel = flags.kernel;
    options.only = flags.only;
    return check_all(flags.ops, options, shared);
  }
  if (!flags.only.empty())
    throw Error(ErrorCode::kInvalidArgument,
                "--case is given, expected it without a call, whose cases it chooses from");
  Json json = Json::array();
  bool ok = true;
  for (const Device device : devices)
    ok = check_call(flags, device, shared, shared.json ? &json : nullptr) && ok;
  if (shared.json) print_json(devices.size() == 1 ? json[0] : json);
  shared.exit_status = ok ? 0 : 1;
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
  add_device_flag(*command, flags.device)
      ->description(
          "native, cuda or rocm, with an index: cuda:1; all: every device that is here; "
          "default: ATTEND_DEVICE, or native");
  add_shared_flags(*command, shared, true);
  add_call_flags(*command, flags.call, FlagSet::kEvery);
  command->callback([&shared] { check(flags, shared); });
}

}  // namespace attend::cli
