#include "tools/attend/elapsed.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "tools/attend/text.h"

namespace attend::cli {

Timing measure(const std::function<void()>& work, double seconds, int most) {
  using Clock = std::chrono::steady_clock;
  work();
  std::vector<double> times;
  double total = 0;
  while (times.empty() || (total < seconds && static_cast<int>(times.size()) < most)) {
    const auto begin = Clock::now();
    work();
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), static_cast<int>(times.size())};
}

std::string duration(double seconds) {
  if (seconds < 1e-3) return number(seconds * 1e6) + " us";
  if (seconds < 1) return number(seconds * 1e3) + " ms";
  return number(seconds) + " s";
}

}  // namespace attend::cli
