// attend info: the machine, the backends, every kernel row; --markdown prints what README.md carries.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string_view>
#include <tuple>

#include "attend/parallel.h"
#include "attend/registry.h"
#include "tools/attend/command.h"
#include "tools/attend/devices.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

constexpr DeviceType kDevices[] = {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm};

struct Row {
  OpId op;
  DeviceType device;
  std::string name, summary;
  int32_t priority;
  Status available;
  bool built_in;
  bool own;  // built in, or of a plugin that comes with the library
};

std::string cpu_model() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with("model name")) return printable(line.substr(line.find(':') + 2));
  return "unknown";
}

std::string environment(const char* value) { return value != nullptr ? printable(value) : ""; }

std::vector<Row> all_rows() {
  const Registry& registry = Registry::global();
  std::set<std::string_view> of_plugins, of_others;
  for (const Backend& backend : registry.backends()) {
    const BackendTable* t = backend.table;
    if (t == nullptr) continue;
    const bool own = backend.path.ends_with("/libattend_" + backend.name + ".so");
    const auto list = [&](const auto* rows_of_plugin, uint32_t count) {
      for (uint32_t i = 0; i < count; ++i) {
        of_plugins.insert(rows_of_plugin[i].name);
        if (!own) of_others.insert(rows_of_plugin[i].name);
      }
    };
    list(t->attention_kernels, t->num_attention_kernels);
    list(t->gdn_kernels, t->num_gdn_kernels);
    list(t->merge_kernels, t->num_merge_kernels);
  }
  std::vector<Row> rows;
  const auto add = [&](const auto& list) {
    for (const auto& k : list)
      rows.push_back({k.op, k.device, k.name, k.summary, k.priority, k.available({k.device, 0}),
                      of_plugins.count(k.name) == 0, of_others.count(k.name) == 0});
  };
  for (int op = 0; op < static_cast<int>(OpId::kCount); ++op) {
    for (DeviceType device : kDevices) {
      const auto id = static_cast<OpId>(op);
      if (id == OpId::kGdn)
        add(registry.gdn_kernels(device));
      else if (id == OpId::kMerge)
        add(registry.merge_kernels(device));
      else
        add(registry.attention_kernels(id, device));
    }
  }
  return rows;
}

std::string spaced(std::string list) {  // "a,b" as "a, b"
  for (size_t i = 0; (i = list.find(',', i)) != std::string::npos; i += 2) list.replace(i, 1, ", ");
  return list;
}

// The same on every machine: rows of the library and of its own plugins, no word about whether they
// run here.
void print_markdown(std::vector<Row> rows) {
  // By name: some priorities follow the machine.
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::tie(a.op, a.device, a.name) < std::tie(b.op, b.device, b.name);
  });
  std::puts("| operator | also known as | native | cuda | rocm |\n|---|---|---|---|---|");
  for (int op = 0; op < static_cast<int>(OpId::kCount); ++op) {
    const auto id = static_cast<OpId>(op);
    std::string line = std::string("| ") + name(id) + " | " + spaced(aliases(id)) + " |";
    for (DeviceType device : kDevices) {
      std::vector<std::string> cell;
      for (const Row& row : rows)
        if (row.op == id && row.device == device && row.own)
          cell.push_back(row.name.substr(row.name.rfind('/') + 1));
      line += (cell.empty() ? " -" : " " + join(cell)) + " |";
    }
    std::puts(line.c_str());
  }
  std::puts("\n| kernel | serves |\n|---|---|");
  for (const Row& row : rows)
    if (row.own) std::printf("| `%s` | %s |\n", row.name.c_str(), row.summary.c_str());
}

void print_as_json(const std::vector<Row>& rows) {
  Json json = {{"cpu", cpu_model()}, {"isa", native_isa()}, {"threads", num_threads()}};
  json["environment"] = {{"ATTEND_DEVICE", environment(std::getenv("ATTEND_DEVICE"))},
                         {"ATTEND_ISA", environment(std::getenv("ATTEND_ISA"))},
                         {"ATTEND_NUM_THREADS", environment(std::getenv("ATTEND_NUM_THREADS"))},
                         {"ATTEND_BACKEND_PATH", environment(std::getenv("ATTEND_BACKEND_PATH"))},
                         {"ATTEND_BACKENDS", environment(std::getenv("ATTEND_BACKENDS"))}};
  json["backends"] = Json::array();
  for (const Backend& b : Registry::global().backends())
    json["backends"].push_back({{"name", b.name},
                                {"device", name(b.device)},
                                {"devices", b.device_count},
                                {"status", b.status},
                                {"path", b.path}});
  json["load_failures"] = Json::array();
  for (const LoadFailure& f : Registry::global().load_failures())
    json["load_failures"].push_back({{"path", f.path}, {"reason", f.reason}});
  json["operators"] = Json::array();
  for (int op = 0; op < static_cast<int>(OpId::kCount); ++op)
    json["operators"].push_back({{"name", name(static_cast<OpId>(op))},
                                 {"aliases", spaced(aliases(static_cast<OpId>(op)))}});
  json["kernels"] = Json::array();
  for (const Row& r : rows) {
    json["kernels"].push_back({{"name", r.name},
                               {"operator", name(r.op)},
                               {"device", name(r.device)},
                               {"priority", r.priority},
                               {"available", static_cast<bool>(r.available)},
                               {"reason", r.available ? "" : to_string(r.available)},
                               {"summary", r.summary},
                               {"built_in", r.built_in}});
  }
  print_json(json);
}

void print_text(const std::vector<Row>& rows) {
  const auto set = [](const char* variable, const char* value) {
    return value != nullptr && *value != '\0'
               ? std::string("  (") + variable + "=" + printable(value) + ")"
               : std::string();
  };
  std::printf("cpu      %s\nisa      %s%s\nthreads  %d%s\ndevice   %s\n\n", cpu_model().c_str(),
              native_isa(), set("ATTEND_ISA", std::getenv("ATTEND_ISA")).c_str(), num_threads(),
              set("ATTEND_NUM_THREADS", std::getenv("ATTEND_NUM_THREADS")).c_str(),
              (environment(std::getenv("ATTEND_DEVICE")).empty()
                   ? std::string("that of the tensors")
                   : environment(std::getenv("ATTEND_DEVICE")) + "  (ATTEND_DEVICE)")
                  .c_str());
  Table backends({"backend", ">devices", "status", "from"});
  for (const Backend& b : Registry::global().backends()) {
    backends.row(
        {b.name, std::to_string(b.device_count), b.status, b.path.empty() ? "built in" : b.path});
    for (int32_t i = 0; b.table != nullptr && i < b.device_count; ++i)
      backends.section("  " + to_string(Device{b.device, static_cast<int16_t>(i)}) + "  " +
                       printable(b.table->device_name(i)));
  }
  for (const LoadFailure& f : Registry::global().load_failures())
    backends.section("not loaded: " + printable(f.path) + ": " + one_line(f.reason));
  std::printf("%s\n", backends.text().c_str());

  Table kernels({"kernel", ">priority", "here", "serves"});
  for (int op = 0; op < static_cast<int>(OpId::kCount); ++op) {
    const auto id = static_cast<OpId>(op);
    const std::string also = *aliases(id) != '\0' ? " (also " + spaced(aliases(id)) + ")" : "";
    const auto is_of = [&](const Row& row) { return row.op == id; };
    if (std::none_of(rows.begin(), rows.end(), is_of)) {
      kernels.section(std::string(name(id)) + also + ": no kernel yet");
      continue;
    }
    kernels.section(name(id) + also);
    for (const Row& row : rows) {
      if (!is_of(row)) continue;
      kernels.row(
          {"  " + kernel_text(row.name, row.device), std::to_string(row.priority),
           row.available ? "yes" : "no",
           row.available ? row.summary : row.summary + "; not here: " + to_string(row.available)});
    }
  }
  std::fputs(kernels.text().c_str(), stdout);
}

}  // namespace

void add_info(CLI::App& app, Shared& shared) {
  static bool markdown = false;
  CLI::App* command = app.add_subcommand(
      "info", "the machine, the backends and every kernel, with the reason where one cannot run");
  add_shared_flags(*command, shared, false);
  command->add_flag("--markdown", markdown, "the table of README.md: the same on every machine");
  command->callback([&shared] {
    const auto rows = all_rows();
    if (markdown)
      print_markdown(rows);
    else if (shared.json)
      print_as_json(rows);
    else
      print_text(rows);
  });
}

}  // namespace attend::cli
