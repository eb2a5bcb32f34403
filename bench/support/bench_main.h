#pragma once
#include <benchmark/benchmark.h>

#include <string>

namespace attend::bench {

// Ends a benchmark with words in place of a time, and makes run() return 1.
void fail(benchmark::State& state, const std::string& why);

// The body of main, once a process: runs what the words of the command line choose. 0 if something
// ran and nothing failed.
int run(int argc, char** argv);

}  // namespace attend::bench
