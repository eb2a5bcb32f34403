#pragma once
#include <functional>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "tests/support/cases.h"
#include "tests/support/run_row.h"

// Every row of an operator against the oracles of the tests, on the cases that they share.
namespace attend::cli {

// What one row did.
struct RowTally {
  std::string kernel;
  Device device;
  std::string unavailable;  // why the row cannot run on this machine
  int64_t ran = 0, failed = 0, refused = 0;
  double worst = 0;                   // largest share of what the rule allows
  std::string worst_case;             // where
  std::vector<std::string> failures;  // the first of them, in words

  // One case that ran: its share of the allowance, NaN included, and what is wrong, if something is.
  void add(const std::string& the_case, double share, const std::string& fault);
};

struct RowCheck {
  testing::Tier tier = testing::Tier::kSmoke;
  std::vector<Device> devices = {Device{}};      // whose rows
  std::string kernel, only;                      // this row alone; cases whose name holds this
  std::function<void(const std::string&)> step;  // before each case

  bool wants(const std::string& the_case) const {
    return only.empty() || the_case.find(only) != std::string::npos;
  }
};

// Runs a row of an operator by its name, on the device of the tally.
template <class Args, class Params>
RunResult run_tallied(const RowTally& tally, const Operator<Args, Params>& op, const Args& args,
                      const Params& params) {
  return testing::on_device(tally.device.type, args, params, {}, [&](const auto&... call) {
    return op.run_kernel(tally.kernel, call...);
  });
}

// The rows of each operator in the order in which they are asked.
std::vector<RowTally> check_rows(const std::vector<OpId>& ops, const RowCheck& options);

// `attend check` without a call. ops empty = all.
struct Shared;
void check_all(const std::vector<std::string>& ops, RowCheck options, Shared& shared);

// Of one operator whose arguments are its own: check_parts.cc. `tallies` are its rows.
void check_gdn(std::vector<RowTally>& tallies, const RowCheck& options);
void check_merge(std::vector<RowTally>& tallies, const RowCheck& options);
void check_append(std::vector<RowTally>& tallies, const RowCheck& options);

}  // namespace attend::cli
