// attend: the command line of the library. One file per subcommand; see command.h.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "attend/error.h"
#include "attend/parallel.h"
#include "tools/attend/command.h"
#include "tools/attend/text.h"

namespace attend::cli {

void add_shared_flags(CLI::App& command, Shared& shared, bool computes) {
  command.add_flag("--json", shared.json, "one JSON document on stdout");
  if (!computes) return;
  command.add_flag("--progress", shared.progress,
                   "tell on stderr what takes over two seconds, also without a terminal");
  command
      .add_option_function<int32_t>(
          "--threads", [](const int32_t& n) { set_num_threads(n); }, "of native kernels")
      ->check(CLI::Range(1, 4096));
}

CLI::Option* add_device_flag(CLI::App& command, std::optional<std::string>& word) {
  return command.add_option(
      "--device", word,
      "native, cuda or rocm, with an index: cuda:1; default: ATTEND_DEVICE, or native");
}

Device device_from(const std::optional<std::string>& word) {
  const char* set = std::getenv("ATTEND_DEVICE");
  const bool from_environment = !word && set != nullptr && *set != '\0';
  std::string text = word ? *word : from_environment ? set : "native";
  if (text == "cpu") text = "native";
  const auto parts = split(text, ':');
  for (DeviceType type : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm}) {
    if (parts[0] != name(type) || parts.size() > 2) continue;
    int index = 0;
    if (parts.size() == 2) {
      const std::string& digits = parts[1];
      if (digits.empty() || digits.size() > 3 ||
          digits.find_first_not_of("0123456789") != std::string::npos)
        break;
      index = std::atoi(digits.c_str());
    }
    if (type == DeviceType::kNative && index != 0) break;
    return {type, static_cast<int16_t>(index)};
  }
  throw Error(ErrorCode::kInvalidArgument,
              std::string(from_environment ? "ATTEND_DEVICE" : "--device") + " is '" + text +
                  "', expected native, cuda, cuda:N, rocm or rocm:N");
}

void print_json(const Json& json) {
  std::puts(json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

namespace {

int complain(const CLI::App& app, const std::string& what) {
  const auto used = app.get_subcommands();
  std::fprintf(stderr, "attend%s: %s\n", used.empty() ? "" : (" " + used[0]->get_name()).c_str(),
               one_line(what).c_str());
  return 2;
}

// CLI11's sentences in this program's form.
std::string usage(const CLI::App& app, const CLI::ParseError& error) {
  const auto used = app.get_subcommands();
  const std::string command = used.empty() ? "attend" : "attend " + used[0]->get_name();
  std::string what = error.what();
  if (!used.empty() && what.starts_with(used[0]->get_name() + ": "))
    what.erase(0, used[0]->get_name().size() + 2);
  if (!what.empty() && what.size() > 1 && what[1] >= 'a')
    what[0] = static_cast<char>(std::tolower(what[0]));
  while (!what.empty() && (what.back() == '\n' || what.back() == '.')) what.pop_back();
  return what + "; see " + command + " --help";
}

int run(int argc, char** argv) {
  CLI::App app("attend: attention operators with run-time dispatch", "attend");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Shared shared;
  add_info(app, shared);
  add_run(app, shared);
  add_check(app, shared);
  add_mask(app, shared);
  add_bench(app, shared);
#ifdef ATTEND_HAVE_ENGINE
  add_generate(app, shared);
#endif
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto used = app.get_subcommands();
    std::fputs((used.empty() ? &app : used[0])->help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    return complain(app, usage(app, e));
  } catch (const Error& e) {
    return complain(app, e.what());
  } catch (const std::bad_alloc&) {
    return complain(app,
                    "memory is used up; a tensor or a table is larger than this machine holds");
  } catch (const std::exception& e) {
    return complain(app, e.what());
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return complain(app, "stdout cannot be written");
  return shared.exit_status;
}

}  // namespace
}  // namespace attend::cli

int main(int argc, char** argv) { return attend::cli::run(argc, argv); }
