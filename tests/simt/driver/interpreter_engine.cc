// The client of tests/simt/interpreters/serve.py: one JSON object a line each way.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/simt/driver/engine.h"

namespace attend::simt {
namespace {

std::string from_environment(const char* variable, const char* otherwise) {
  const char* const text = std::getenv(variable);
  return text && *text ? text : otherwise;
}

std::string hex(const std::vector<unsigned char>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

// A child process and the two pipes to it.
class Child {
 public:
  ~Child() {
    if (to_) std::fclose(to_);  // which ends it
    if (from_) std::fclose(from_);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }

  bool running() const { return pid_ > 0; }

  std::string start(const std::vector<std::string>& words) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0) return "no pipe to an interpreter";
    if (pipe2(out, O_CLOEXEC) != 0) return "no pipe from an interpreter";
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::vector<char*> argv;
    for (const std::string& one : words) argv.push_back(const_cast<char*>(one.c_str()));
    argv.push_back(nullptr);
    const int code = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    to_ = fdopen(in[1], "w");
    from_ = fdopen(out[0], "r");
    if (code == 0) return {};
    pid_ = -1;
    return words[0] + " cannot be started";
  }

  bool say(const std::string& line) {
    return std::fputs((line + "\n").c_str(), to_) >= 0 && std::fflush(to_) == 0;
  }
  bool hear(std::string* line) {
    line->clear();
    for (int c; (c = std::getc(from_)) != EOF;) {
      if (c == '\n') return true;
      *line += static_cast<char>(c);
    }
    return false;
  }

 private:
  pid_t pid_ = -1;
  FILE *to_ = nullptr, *from_ = nullptr;
};

class InterpreterEngine final : public Engine {
 public:
  InterpreterEngine(std::string arch, Arena& arena) : arch_(std::move(arch)), arena_(arena) {}

  std::string run(const EngineLaunch& launch) override {
    const std::lock_guard lock(mutex_);
    if (!child_.running()) {
      // A line to a child that has ended is an error here, not the end of this process.
      signal(SIGPIPE, SIG_IGN);
      if (std::string error = child_.start(words()); !error.empty()) return error;
    }
    const gpu::Index3 grid = launch.grid;
    const nlohmann::json request = {{"arena", "/proc/self/fd/" + std::to_string(arena_.file())},
                                    {"base", arena_.base()},
                                    {"bytes", Arena::bytes()},
                                    {"allocations", arena_.allocations()},
                                    {"kernel", launch.kernel->name()},
                                    {"grid", {grid.x, grid.y, grid.z}},
                                    {"block", launch.threads},
                                    {"shared", launch.shared_bytes},
                                    {"params", hex(launch.args)}};
    std::string line;
    if (!child_.say(request.dump()) || !child_.hear(&line))
      return "the interpreter of " + arch_ + " has ended; its words are on stderr";
    const nlohmann::json answer = nlohmann::json::parse(line, nullptr, false);
    if (!answer.is_object() || !answer.contains("ok")) return "the interpreter said: " + line;
    return answer["ok"] == true ? "" : answer.value("error", "no words");
  }

 private:
  std::vector<std::string> words() const {
    return {from_environment("ATTEND_SIMT_PYTHON", ATTEND_SIMT_PYTHON_DEFAULT),
            ATTEND_SIMT_SERVE,
            "--engine",
            arch_,
            "--images",
            from_environment("ATTEND_SIMT_IMAGES", ATTEND_SIMT_IMAGES_DEFAULT)};
  }

  std::string arch_;
  Arena& arena_;
  std::mutex mutex_;
  Child child_;
};

}  // namespace

std::unique_ptr<Engine> interpreter_engine(const std::string& arch, Arena& arena) {
  return std::make_unique<InterpreterEngine>(arch, arena);
}

}  // namespace attend::simt
