#pragma once
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "attend/kernel.h"
#include "attend/tensor.h"

// The subcommands. Each adds its flags and leaves its exit status: 0 done, 1 a check failed. What cannot be done
// (usage, input, a call that is refused) leaves by an exception, which main turns into one line and status 2.
namespace attend::cli {

struct Shared {       // of every subcommand
  bool json = false;  // one JSON document on stdout and nothing else there
  bool progress = false;
  int exit_status = 0;
};

void add_info(CLI::App& app, Shared& shared);
void add_run(CLI::App& app, Shared& shared);
void add_check(CLI::App& app, Shared& shared);
void add_mask(CLI::App& app, Shared& shared);
void add_bench(CLI::App& app, Shared& shared);
void add_generate(CLI::App& app, Shared& shared);  // where the engine is built

// --json, --progress and, where something is computed, --threads.
void add_shared_flags(CLI::App& command, Shared& shared, bool computes);
// --device; without it ATTEND_DEVICE, or native.
CLI::Option* add_device_flag(CLI::App& command, std::optional<std::string>& word);
Device device_from(const std::optional<std::string>& word);

using Json = nlohmann::ordered_json;
void print_json(const Json& json);

}  // namespace attend::cli
