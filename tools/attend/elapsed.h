#pragma once
#include <functional>
#include <string>

namespace attend::cli {

struct Timing {
  double median = 0, best = 0;  // seconds
  int runs = 0;
};

// Runs `work` once to warm up, then until `seconds` have passed or `most` runs are done.
Timing measure(const std::function<void()>& work, double seconds, int most);

std::string duration(double seconds);  // "412 us", "1.24 ms"

}  // namespace attend::cli
