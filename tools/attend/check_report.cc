#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tools/attend/check_call.h"
#include "tools/attend/devices.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

std::string verdict_word(bool ok) {
  if (isatty(STDOUT_FILENO) != 1) return ok ? "ok" : "FAILED";
  return ok ? "\033[32mok\033[0m" : "\033[1;31mFAILED\033[0m";
}

std::string label(const std::string& prefix) {  // "layer0." as "layer0"
  return prefix.empty() ? "call" : printable(prefix.substr(0, prefix.find_last_not_of("._/-") + 1));
}

}  // namespace

void Checker::print_text() const {
  const bool expected = !references_.empty();
  if (device_.type != DeviceType::kNative) std::printf("%s\n", device_text(device_).c_str());
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
    std::vector<std::string> cells = {(r.first ? "> " : "  ") +
                                      kernel_text(r.kernel, device_.type)};
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

Json Checker::as_json() const {
  Json json = {{"input", flags_.call.input},
               {"device", device_text(device_)},
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
  return json;
}

}  // namespace attend::cli
