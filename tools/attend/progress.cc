#include "tools/attend/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "tools/attend/text.h"

namespace attend::cli {

Progress::Progress(std::string what, int64_t steps, bool always)
    : what_(std::move(what)), steps_(steps), terminal_(isatty(STDERR_FILENO) == 1) {
  if (terminal_ || always) ticker_ = std::thread([this] { tick(); });
}

Progress::~Progress() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (ticker_.joinable()) ticker_.join();
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::step(const std::string& now) {
  const std::lock_guard lock(mutex_);
  ++done_;
  now_ = now;
}

void Progress::tick() {
  using namespace std::chrono_literals;
  std::unique_lock lock(mutex_);
  for (auto next = begin_ + 2s; !wake_.wait_until(lock, next, [&] { return stop_; });
       next += terminal_ ? 500ms : 2000ms)
    show();
}

void Progress::show() {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - begin_;
  const std::string of = steps_ > 0 ? " of " + std::to_string(steps_) : "";
  std::fprintf(stderr, "%s%s: %lld%s, %.0f s, %s%s", terminal_ ? "\r\033[K" : "", what_.c_str(),
               static_cast<long long>(done_), of.c_str(), since.count(), printable(now_).c_str(),
               terminal_ ? "" : "\n");
  std::fflush(stderr);
  shown_ = terminal_;
}

}  // namespace attend::cli
