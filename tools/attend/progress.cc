#include "tools/attend/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "tools/attend/text.h"

namespace attend::cli {

using std::chrono::steady_clock;

Progress::Progress(std::string what, int64_t steps, bool always)
    : what_(std::move(what)),
      steps_(steps),
      terminal_(isatty(STDERR_FILENO) == 1),
      always_(always),
      begin_(steady_clock::now()),
      last_(begin_) {}

Progress::~Progress() { clear(); }

void Progress::step(const std::string& now) {
  ++done_;
  const auto time = steady_clock::now();
  const auto since = [&](steady_clock::time_point then) {
    return std::chrono::duration<double>(time - then).count();
  };
  if (since(begin_) < 2 || since(last_) < (terminal_ ? 0.1 : 2.0)) return;
  if (!terminal_ && !always_) return;
  last_ = time;
  clear();
  std::fprintf(stderr, "%s: %lld of %lld, %.0f s, %s%s", what_.c_str(),
               static_cast<long long>(done_), static_cast<long long>(steps_), since(begin_),
               printable(now).c_str(), terminal_ ? "" : "\n");
  std::fflush(stderr);
  shown_ = terminal_;
}

void Progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace attend::cli
