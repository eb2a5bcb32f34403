#include "tools/attend/check_rows.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "attend/error.h"
#include "attend/operator.h"
#include "tests/kernels/rows.h"
#include "tests/support/judge.h"
#include "tests/support/tensors.h"

namespace attend::cli {
namespace {

constexpr size_t kToldFailures = 3;

// kernels_on(device): the rows there.
template <class KernelsOn>
std::vector<RowTally> tallies_of(const KernelsOn& kernels_on, const RowCheck& options) {
  std::vector<RowTally> list;
  for (const Device device : options.devices) {
    for (const auto& row : kernels_on(device.type)) {
      if (!options.kernel.empty() && options.kernel != row.name) continue;
      RowTally tally;
      tally.kernel = row.name;
      tally.device = device;
      if (const Status s = row.available(device); !s) tally.unavailable = to_string(s);
      list.push_back(std::move(tally));
    }
  }
  return list;
}

// The largest share of their allowances.
double share_of(const std::vector<testing::Accuracy>& accuracies) {
  double worst = 0;
  const auto take = [&](double error, double allowed) {
    if (allowed > 0) worst = std::max(worst, error / allowed);
    if (std::isnan(error)) worst = error;
  };
  for (const testing::Accuracy& a : accuracies) {
    take(a.max_error, a.allowed_error);
    take(a.rms_error, a.allowed_rms);
  }
  return worst;
}

// A case's tensors, and what is expected of them once somebody asks.
struct Prepared {
  testing::AttentionCase of;
  testing::CaseTensors tensors;
  std::optional<testing::Judge> judge;

  explicit Prepared(const testing::AttentionCase& c) : of(c), tensors(testing::make_tensors(c)) {}
};

void check_case(OpId op, const testing::AttentionCase& c, Prepared& p, RowTally& tally) {
  AttentionParams params = p.tensors.params;
  params.mask.diagonal = c.diagonal;  // as the caller wrote it
  p.tensors.reset_outputs();
  try {
    run_tallied(tally, attention_op(op), p.tensors.args, params);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kUnsupported) {
      ++tally.refused;
      return;
    }
    return tally.add(testing::name(c), std::nan(""), e.what());
  }
  if (!p.judge) p.judge.emplace(p.tensors.args, p.tensors.params);
  const auto accuracies = p.judge->compare(p.tensors.args);
  std::string fault = p.tensors.damaged_guard();
  if (fault.empty() && !testing::all_ok(accuracies)) fault = testing::to_string(accuracies);
  tally.add(testing::name(c), share_of(accuracies), fault);
}

void check_attention(const std::map<OpId, std::vector<RowTally>*>& rows, const RowCheck& options) {
  for (const testing::AttentionCase& c : testing::cases(options.tier)) {
    if (!options.wants(testing::name(c))) continue;
    std::optional<Prepared> p;
    for (const auto& [op, tallies] : rows) {
      if (!testing::in_domain(op, c)) continue;
      options.step(std::string(name(op)) + " on " + testing::name(c));
      const testing::AttentionCase read = testing::as_read_by(op, c);
      for (RowTally& tally : *tallies) {
        if (!tally.unavailable.empty()) continue;
        if (!p || p->of != read) p.emplace(read);
        check_case(op, c, *p, tally);
      }
    }
  }
}

}  // namespace

void RowTally::add(const std::string& the_case, double share, const std::string& fault) {
  ++ran;
  if (!(share <= worst)) {
    worst = share;
    worst_case = the_case;
  }
  if (fault.empty()) return;
  ++failed;
  if (failures.size() < kToldFailures)
    failures.push_back(kernel + " on " + the_case + ": " + fault);
}

std::vector<RowTally> check_rows(const std::vector<OpId>& ops, const RowCheck& options) {
  const Registry& registry = Registry::global();
  std::map<OpId, std::vector<RowTally>> rows;
  std::map<OpId, std::vector<RowTally>*> attention;
  for (OpId op : ops) {
    std::vector<RowTally>& tallies = rows[op];
    if (op == OpId::kGdn) {
      tallies = tallies_of([&](DeviceType d) { return registry.gdn_kernels(d); }, options);
      check_gdn(tallies, options);
    } else if (op == OpId::kMerge) {
      tallies = tallies_of([&](DeviceType d) { return registry.merge_kernels(d); }, options);
      check_merge(tallies, options);
    } else {
      tallies =
          tallies_of([&](DeviceType d) { return registry.attention_kernels(op, d); }, options);
      if (op == OpId::kAppend)
        check_append(tallies, options);
      else
        attention[op] = &tallies;
    }
  }
  if (!attention.empty()) check_attention(attention, options);
  std::vector<RowTally> all;
  for (OpId op : ops) all.insert(all.end(), rows[op].begin(), rows[op].end());
  return all;
}

}  // namespace attend::cli
