#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace attend::cli {

// A line on stderr about work that takes more than two seconds: rewritten in place on a terminal, a line of its own
// every two seconds with --progress, nothing otherwise.
class Progress {
 public:
  Progress(std::string what, int64_t steps, bool always);
  ~Progress();
  void step(const std::string& now);  // before each step

 private:
  void clear();
  std::string what_;
  int64_t steps_, done_ = 0;
  bool terminal_, always_, shown_ = false;
  std::chrono::steady_clock::time_point begin_, last_;
};

}  // namespace attend::cli
