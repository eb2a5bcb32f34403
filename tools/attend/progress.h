#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace attend::cli {

// A line on stderr about work that takes more than two seconds, long single steps included:
// rewritten in place on a terminal, a line of its own every two seconds with --progress, nothing
// otherwise.
class Progress {
 public:
  Progress(std::string what, int64_t steps, bool always);  // 0 steps: not known beforehand
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void step(const std::string& now);  // before each step

 private:
  void tick();
  void show();

  const std::string what_;
  const int64_t steps_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::string now_;
  int64_t done_ = 0;
  bool stop_ = false, shown_ = false;
  std::thread ticker_;  // last: it reads all of the above
};

}  // namespace attend::cli
