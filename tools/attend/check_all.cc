// attend check without a call: every row of each operator on the shared cases, a line for each.
#include <cstdio>

#include "attend/kernel.h"
#include "tools/attend/check_rows.h"
#include "tools/attend/command.h"
#include "tools/attend/devices.h"
#include "tools/attend/progress.h"
#include "tools/attend/text.h"

namespace attend::cli {

void check_all(const std::vector<std::string>& words, RowCheck options, Shared& shared) {
  std::vector<OpId> ops;
  for (const std::string& word : words) ops.push_back(op_from_name(word));
  for (int op = 0; words.empty() && op < static_cast<int>(OpId::kCount); ++op)
    ops.push_back(static_cast<OpId>(op));
  const char* tier = options.tier == testing::Tier::kFull ? "full" : "smoke";
  Progress progress("attend check", 0, shared.progress);
  options.step = [&](const std::string& now) { progress.step(now); };
  const std::vector<RowTally> rows = check_rows(ops, options);
  int64_t ran = 0, failed = 0;
  for (const RowTally& row : rows) ran += row.ran, failed += row.failed;
  shared.exit_status = failed == 0 && ran > 0 ? 0 : 1;
  if (shared.json) {
    Json json = {{"tier", tier}, {"ok", shared.exit_status == 0}, {"rows", Json::array()}};
    for (const RowTally& row : rows) {
      Json item = {{"kernel", row.kernel},
                   {"device", device_text(row.device)},
                   {"ran", row.ran},
                   {"failed", row.failed},
                   {"refused", row.refused},
                   {"worst_share", row.worst},
                   {"worst_case", row.worst_case},
                   {"failures", row.failures}};
      if (!row.unavailable.empty()) item["unavailable"] = row.unavailable;
      json["rows"].push_back(item);
    }
    return print_json(json);
  }
  std::puts(
      "Every row of each operator on the cases of the tests, against the float64 oracles. Worst: "
      "the "
      "largest share\nof what the rule allows; refused: cases that another row of the operator "
      "takes.\n");
  for (const Device device : options.devices)
    if (device.type != DeviceType::kNative) std::printf("%s\n", device_text(device).c_str());
  if (options.devices.size() > 1 || options.devices[0].type != DeviceType::kNative) std::puts("");
  Table table({"kernel", ">cases", ">failed", ">refused", ">worst", "on"});
  for (const RowTally& row : rows) {
    if (!row.unavailable.empty()) {
      table.row(
          {kernel_text(row.kernel, row.device.type), "not here: " + one_line(row.unavailable)});
      continue;
    }
    const bool none = row.ran == 0;
    table.row({kernel_text(row.kernel, row.device.type), std::to_string(row.ran),
               std::to_string(row.failed), std::to_string(row.refused),
               none ? "-" : number(100 * row.worst) + " %", none ? "" : row.worst_case});
  }
  std::fputs(table.text().c_str(), stdout);
  std::puts("");
  for (const RowTally& row : rows)
    for (const std::string& line : row.failures) std::printf("FAILED %s\n", one_line(line).c_str());
  std::printf("%lld checked, %lld failed\n", static_cast<long long>(ran),
              static_cast<long long>(failed));
  if (ran == 0) std::puts("No kernel took a case.");
}

}  // namespace attend::cli
