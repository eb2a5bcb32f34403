#include "bench/support/machine.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>

namespace attend::bench {
namespace {

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown CPU";
}

int64_t last_level_cache_bytes() {
  int64_t largest = 0;
  for (int level = 0; level < 8; ++level) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level) +
                       "/size");
    int64_t size = 0;
    char unit = ' ';
    if (file >> size >> unit)
      largest = std::max(largest, size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0));
  }
  return largest > 0 ? largest : int64_t{32} << 20;
}

int64_t memory_bytes() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

int64_t bytes_beyond_cache() {
  return std::min(last_level_cache_bytes() / 2 * 3, memory_bytes() / 4);
}

double wall_seconds() { return seconds(CLOCK_MONOTONIC); }
double process_cpu_seconds() { return seconds(CLOCK_PROCESS_CPUTIME_ID); }
double clock_seconds(int threads) { return threads == 1 ? process_cpu_seconds() : wall_seconds(); }

}  // namespace attend::bench
