// The client of tests/simt/interpreters/serve.py: one JSON object a line each way.
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/simt/driver/child.h"
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

class InterpreterEngine final : public Engine {
 public:
  InterpreterEngine(std::string arch, Arena& arena) : arch_(std::move(arch)), arena_(arena) {}

  std::string run(const EngineLaunch& launch) override {
    const std::lock_guard lock(mutex_);
    std::string why;
    if (!child_) child_ = Child::start(words(), &why);
    if (!child_) return why;
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
    if (!child_->ask(request.dump(), seconds(), &line, &why)) {
      child_.reset();  // the next launch starts another
      return "the interpreter of " + arch_ + " " + why;
    }
    const nlohmann::json answer = nlohmann::json::parse(line, nullptr, false);
    if (answer.is_object() && answer.value("ok", nlohmann::json()) == true) return {};
    if (answer.is_object() && answer.value("ok", nlohmann::json()) == false &&
        answer.value("error", nlohmann::json()).is_string())
      return answer["error"];
    child_.reset();
    return "the interpreter of " + arch_ + " answered '" + line.substr(0, 200) +
           "', expected {\"ok\": true} or {\"ok\": false, \"error\": \"...\"}";
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

  static double seconds() {
    return std::atof(from_environment("ATTEND_SIMT_TIMEOUT", "600").c_str());
  }

  std::string arch_;
  Arena& arena_;
  std::mutex mutex_;
  std::unique_ptr<Child> child_;
};

}  // namespace

std::unique_ptr<Engine> interpreter_engine(const std::string& arch, Arena& arena) {
  return std::make_unique<InterpreterEngine>(arch, arena);
}

}  // namespace attend::simt
