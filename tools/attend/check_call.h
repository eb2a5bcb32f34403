#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "tests/support/judge.h"
#include "tools/attend/call.h"
#include "tools/attend/command.h"
#include "tools/attend/convert.h"
#include "tools/attend/elapsed.h"
#include "tools/attend/progress.h"

// `attend check` of a call from files: check.cc runs the rows, check_report.cc says what came out.
namespace attend::cli {

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
  Checker(const CheckFlags& flags, Device device, const Shared& shared)
      : flags_(flags), shared_(shared), device_(device) {
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
  Json as_json() const;

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

}  // namespace attend::cli
