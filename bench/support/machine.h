#pragma once
#include <cstdint>
#include <string>

// What the machine says of itself, and its clocks.
namespace attend::bench {

std::string cpu_model();           // as /proc/cpuinfo names it
int64_t last_level_cache_bytes();  // largest cache of CPU 0; 32 MiB where the machine does not tell
int64_t memory_bytes();

// Bytes that calls must go through before they come back to the first, so that nothing of it is
// left in a cache: 1.5 times the last level, at most a quarter of the memory.
int64_t bytes_beyond_cache();

double wall_seconds();
double process_cpu_seconds();  // of all threads of this process
// The clock of a measurement: with one thread the process's CPU time, which leaves out the time
// that another process had the core; with several the wall's.
double clock_seconds(int threads);

}  // namespace attend::bench
