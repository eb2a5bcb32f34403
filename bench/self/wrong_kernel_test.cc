// A benchmark of a kernel whose result is wrong fails; it prints no time.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace attend::bench {
namespace {

struct Outcome {
  int status = -1;  // of the process
  std::string printed;
};

// One small case on the rows that the pattern matches.
Outcome bench(const std::string& rows) {
  const std::string command = std::string(ATTEND_WRONG_KERNEL_BENCH) +
                              " --benchmark_min_time=0.001 --benchmark_filter='^flash/native/" +
                              rows + "/tiny8h16_.*_f32/threads:1$' 2>&1";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    outcome.printed.append(buffer, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
  return outcome;
}

void expect_failure(const std::string& row, const std::string& words) {
  const Outcome o = bench(row);
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.printed.find("ERROR OCCURRED: '" + words), std::string::npos) << o.printed;
  EXPECT_EQ(o.printed.find("best_us"), std::string::npos) << o.printed;
}

TEST(WrongKernel, OneWrongElementFailsInPlaceOfPrintingATime) {
  expect_failure("nearly_right", "WRONG out: max error 0.01");
}

TEST(WrongKernel, AnOutputLeftUntouchedFails) { expect_failure("nothing", "WRONG out"); }

TEST(WrongKernel, AnErrorOfTheKernelFails) {
  expect_failure("broken", "flash/native/broken: it broke with 7");
}

TEST(WrongKernel, FailsTheProgramThoughOtherRowsAreRight) {
  const Outcome o = bench("(nearly_right|portable)");
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.printed.find("1 benchmarks failed"), std::string::npos) << o.printed;
  EXPECT_NE(o.printed.find("best_us"), std::string::npos) << o.printed;  // of portable
}

TEST(RightKernel, PrintsItsTime) {
  const Outcome o = bench("portable");
  EXPECT_EQ(o.status, 0);
  EXPECT_EQ(o.printed.find("ERROR"), std::string::npos) << o.printed;
  for (const char* counter : {"best_us", "median_us", "FLOP/s", "bytes/s", "of_fma_peak"})
    EXPECT_NE(o.printed.find(counter), std::string::npos) << counter << "\n" << o.printed;
}

TEST(Run, AFilterThatMatchesNothingFails) { EXPECT_EQ(bench("no_such_row").status, 1); }

}  // namespace
}  // namespace attend::bench
