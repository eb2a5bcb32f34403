// The stand-in drivers, as a program sees them: with work done early and late (ATTEND_SIMT_STREAMS).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include "tests/simt/driver_test_kernels.h"
#include "tests/simt/vendor_driver.h"

namespace attend::simt {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kInvalidValue = 1, kInvalidHandle = 400, kNotFound = 500, kLaunchFailed = 719,
              kForbiddenInCapture = 900, kCaptureBroken = 901;
constexpr int kN = 200;  // elements
constexpr size_t kBytes = kN * sizeof(int32_t);

bool late() {
  const char* const word = std::getenv("ATTEND_SIMT_STREAMS");
  return word && std::string(word) == "late";
}

// One for each vendor as long as the program runs, as in a plugin.
VendorDriver& driver_of(const std::string& vendor) {
  setenv("ATTEND_SIMT_KERNELS", ATTEND_SIMT_TEST_KERNELS, 1);
  if (vendor == "cuda") {
    static VendorDriver cuda("cuda");
    return cuda;
  }
  static VendorDriver rocm("rocm");
  return rocm;
}

class Driver : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_EQ(d.make_stream(&stream), 0);
    for (int32_t** data : {&from, &to}) {
      void* at = nullptr;
      ASSERT_EQ(d.allocate(&at, kBytes), 0);
      *data = static_cast<int32_t*>(at);
    }
    std::iota(host.begin(), host.end(), 0);
    ASSERT_EQ(d.copy_now(from, host.data(), kBytes), 0);
  }
  void TearDown() override {
    EXPECT_EQ(d.destroy_stream(stream), 0);
    EXPECT_EQ(d.release(from), 0);
    EXPECT_EQ(d.release(to), 0);
  }

  int launch(const char* kernel, const TestArgs& args, unsigned shared_bytes = 0,
             int threads = kTestThreads) {
    return d.launch(kernel, {4, 1, 1}, threads, shared_bytes, &args, sizeof args, stream);
  }
  // The code of a launch and of waiting for it, whichever tells.
  int run(const char* kernel, const TestArgs& args) {
    const int code = launch(kernel, args);
    return code ? code : d.synchronize(stream);
  }
  std::vector<int32_t> result() {
    std::vector<int32_t> out(kN);
    EXPECT_EQ(d.synchronize(stream), 0);
    EXPECT_EQ(d.copy_now(out.data(), to, kBytes), 0);
    return out;
  }
  std::vector<int32_t> host_plus(int n) const {
    std::vector<int32_t> want = host;
    for (int32_t& x : want) x += n;
    return want;
  }

  VendorDriver& d = driver_of(GetParam());
  void* stream = nullptr;
  int32_t *from = nullptr, *to = nullptr;
  std::vector<int32_t> host = std::vector<int32_t>(kN);
};
INSTANTIATE_TEST_SUITE_P(StandIn, Driver, testing::Values("cuda", "rocm"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(Driver, DeviceSaysWhatItIs) {
  int warp = 0, multiprocessors = 0;
  EXPECT_EQ(d.attribute(&warp, 10, 87), 0);
  EXPECT_EQ(d.attribute(&multiprocessors, 16, 63), 0);
  const bool cuda = GetParam() == std::string("cuda");
  EXPECT_EQ(warp, cuda ? 32 : 64);
  EXPECT_GT(multiprocessors, 1);
  EXPECT_EQ(d.name(), cuda ? "NVIDIA H100" : "AMD Instinct MI300X");
  EXPECT_EQ(d.attribute(&warp, 999, 999), kInvalidValue);
}

TEST_P(Driver, NewMemoryHoldsNothingOfUse) { EXPECT_EQ(result(), std::vector<int32_t>(kN, -1)); }

TEST_P(Driver, KernelRunsWithItsArguments) {
  EXPECT_EQ(run("attend_test_add_one", {from, to, kN}), 0);
  EXPECT_EQ(result(), host_plus(1));
}

TEST_P(Driver, WorkOfAStreamIsDoneInOrder) {
  EXPECT_EQ(launch("attend_test_add_one", {from, to, kN}), 0);
  EXPECT_EQ(launch("attend_test_add_one", {to, to, kN}), 0);
  EXPECT_EQ(d.copy(from, to, kBytes, stream), 0);
  EXPECT_EQ(d.fill(to, 0, kBytes, stream), 0);
  EXPECT_EQ(launch("attend_test_add_one", {from, to, kN}), 0);
  EXPECT_EQ(result(), host_plus(3));
}

// Late work has not been done when a call returns, and what it reads may change until then.
TEST_P(Driver, PinnedMemoryIsReadAndWrittenWhenTheWorkIsDone) {
  void* memory = nullptr;
  ASSERT_EQ(d.allocate_pinned(&memory, kBytes), 0);
  auto* pinned = static_cast<int32_t*>(memory);
  std::fill(pinned, pinned + kN, 7);
  EXPECT_EQ(launch("attend_test_add_one", {from, to, kN}), 0);
  EXPECT_EQ(d.copy(pinned, to, kBytes, stream), 0);
  EXPECT_EQ(pinned[3], late() ? 7 : 4);
  EXPECT_EQ(d.synchronize(stream), 0);
  EXPECT_EQ(pinned[3], 4);
  EXPECT_EQ(d.release_pinned(pinned), 0);
}

TEST_P(Driver, OtherHostMemoryMayBeReusedAtOnce) {
  EXPECT_EQ(d.copy(to, host.data(), kBytes, stream), 0);
  std::fill(host.begin(), host.end(), -5);
  std::vector<int32_t> out(kN);
  EXPECT_EQ(d.copy(out.data(), to, kBytes, stream), 0);
  EXPECT_EQ(out[7], 7);  // done when it returned
}

TEST_P(Driver, StreamsWaitForEvents) {
  void *other = nullptr, *event = nullptr;
  ASSERT_EQ(d.make_stream(&other), 0);
  ASSERT_EQ(d.make_event(&event), 0);
  EXPECT_EQ(launch("attend_test_add_one", {from, to, kN}), 0);
  EXPECT_EQ(d.record(event, stream), 0);
  EXPECT_EQ(d.wait(other, event), 0);
  EXPECT_EQ(d.copy(from, to, kBytes, other), 0);
  std::vector<int32_t> out(kN);
  EXPECT_EQ(d.copy(out.data(), from, kBytes, other), 0);
  EXPECT_EQ(out, host_plus(1));
  EXPECT_EQ(d.destroy_event(event), 0);
  EXPECT_EQ(d.destroy_stream(other), 0);
}

TEST_P(Driver, LaunchesThatNoDriverWouldTake) {
  const TestArgs args{from, to, kN};
  int code = launch("attend_test_add_one", args, 0, 128);
  EXPECT_EQ(code, kInvalidValue);
  EXPECT_THAT(d.text_of(code), HasSubstr("block is (128, 1, 1), expected (64, 1, 1)"));
  code = d.launch("attend_test_add_one", {1, 1, 1}, kTestThreads, 0, &args, 16, stream);
  EXPECT_EQ(code, kInvalidValue);
  EXPECT_THAT(d.text_of(code), HasSubstr("arguments are 16 bytes, expected 24"));
  void* function = nullptr;
  code = d.find("attend_nothing", &function);
  EXPECT_EQ(code, kNotFound);
  EXPECT_THAT(d.text_of(code), HasSubstr("no kernel is called attend_nothing"));
  int somewhere = 0;
  EXPECT_EQ(d.copy(to, from, kBytes, &somewhere), kInvalidHandle);
}

TEST_P(Driver, SharedMemoryMustBeAllowed) {
  const bool cuda = GetParam() == std::string("cuda");
  const unsigned bytes = cuda ? 100000 : 65536;
  const TestArgs args{from, to, static_cast<int32_t>(bytes)};
  if (cuda) {
    const int code = launch("attend_test_shared", args, bytes);
    EXPECT_EQ(code, kInvalidValue);
    EXPECT_THAT(d.text_of(code),
                HasSubstr("shared memory is 100000 bytes, expected at most 49152"));
    EXPECT_EQ(d.allow_shared("attend_test_shared", 300000), kInvalidValue);
  }
  EXPECT_EQ(d.allow_shared("attend_test_shared", static_cast<int>(bytes)), 0);
  EXPECT_EQ(launch("attend_test_shared", args, bytes), 0);
  EXPECT_EQ(result()[0], static_cast<signed char>(bytes - 1));
  EXPECT_EQ(launch("attend_test_shared", args, 300000), kInvalidValue);
}

TEST_P(Driver, FaultOfAKernelIsAnErrorInWords) {
  int code = run("attend_test_deadlock", {from, to, kN});
  EXPECT_EQ(code, kLaunchFailed);
  EXPECT_THAT(d.text_of(code), AllOf(HasSubstr("attend_test_deadlock: block (0, 0, 0): deadlock"),
                                     HasSubstr("tests/simt/driver_test_kernels.cc:")));
  EXPECT_EQ(run("attend_test_add_one", {from, to, kN}), 0);
  EXPECT_EQ(result(), host_plus(1));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__x86_64__)
// The sanitizers end the process with reports of their own.
TEST_P(Driver, GuardBandsAreChecked) {
  const int code = run("attend_test_one_too_far", {from, to, kN});
  EXPECT_EQ(code, kLaunchFailed);
  EXPECT_THAT(d.text_of(code), HasSubstr("attend_test_one_too_far: guard band written at byte 800 "
                                         "of an allocation of 800 bytes"));
  void* fresh = nullptr;  // the damaged one says so once more
  EXPECT_EQ(d.release(to), kInvalidValue);
  EXPECT_EQ(d.allocate(&fresh, kBytes), 0);
  to = static_cast<int32_t*>(fresh);
}

TEST_P(Driver, HostCannotTouchDeviceMemory) {
  EXPECT_EXIT(static_cast<volatile int32_t*>(to)[0] = 1, testing::KilledBySignal(SIGSEGV), "");
}
#endif

#if defined(__x86_64__)
TEST_P(Driver, FreedMemoryCannotBeTouched) {
  void* gone = nullptr;
  ASSERT_EQ(d.allocate(&gone, kBytes), 0);
  ASSERT_EQ(d.release(gone), 0);
  int code = run("attend_test_add_one", {static_cast<int32_t*>(gone), to, kN});
  EXPECT_EQ(code, kLaunchFailed);
  EXPECT_THAT(d.text_of(code), AllOf(HasSubstr("reads at address 0x"),
                                     HasSubstr("byte 0 of a freed allocation of 800 bytes")));
  code = run("attend_test_add_one", {from, to + (1 << 20), kN});
  EXPECT_EQ(code, kLaunchFailed);
  EXPECT_THAT(d.text_of(code), HasSubstr("writes at address 0x"));
  EXPECT_EQ(d.release(gone), kInvalidValue);
  EXPECT_EQ(d.release(to + 1), kInvalidValue);
}
#endif

TEST_P(Driver, CopiesStayInsideAnAllocation) {
  std::vector<char> large(2 * kBytes);
  const int code = d.copy_now(to, large.data(), kBytes + 1);
  EXPECT_EQ(code, kInvalidValue);
  EXPECT_THAT(d.text_of(code), HasSubstr("801 bytes at byte 0 of an allocation of 800 bytes"));
  EXPECT_EQ(d.copy_now(large.data(), from + kN, 1), kInvalidValue);
}

TEST_P(Driver, MemoryInStreamOrder) {
  void* scratch = nullptr;
  ASSERT_EQ(d.allocate_ordered(&scratch, kBytes, stream), 0);
  auto* between = static_cast<int32_t*>(scratch);
  EXPECT_EQ(launch("attend_test_add_one", {from, between, kN}), 0);
  EXPECT_EQ(launch("attend_test_add_one", {between, to, kN}), 0);
  EXPECT_EQ(d.release_ordered(scratch, stream), 0);
  EXPECT_EQ(result(), host_plus(2));
}

TEST_P(Driver, CaptureIsReplayed) {
  ASSERT_EQ(d.begin_capture(stream), 0);
  void *scratch = nullptr, *graph = nullptr, *executable = nullptr;
  EXPECT_EQ(d.allocate_ordered(&scratch, kBytes, stream), 0);
  auto* between = static_cast<int32_t*>(scratch);
  EXPECT_EQ(launch("attend_test_add_one", {from, between, kN}), 0);
  EXPECT_EQ(launch("attend_test_add_one", {between, to, kN}), 0);
  EXPECT_EQ(d.release_ordered(scratch, stream), 0);
  ASSERT_EQ(d.end_capture(stream, &graph), 0);
  EXPECT_EQ(result(), std::vector<int32_t>(kN, -1)) << "a capture does nothing yet";
  ASSERT_EQ(d.instantiate(&executable, graph), 0);
  for (int round = 0; round < 3; ++round) {
    for (int32_t& x : host) x += 10;
    EXPECT_EQ(d.copy(from, host.data(), kBytes, stream), 0);
    EXPECT_EQ(d.replay(executable, stream), 0);
    EXPECT_EQ(result(), host_plus(2));
  }
  EXPECT_EQ(d.destroy_graph(graph, executable), 0);
}

TEST_P(Driver, CaptureForbidsWhatWaits) {
  void *graph = nullptr, *data = nullptr;
  const auto expect_refused = [&](const char* words, const auto& call) {
    ASSERT_EQ(d.begin_capture(stream), 0);
    EXPECT_EQ(call(), kForbiddenInCapture) << words;
    EXPECT_THAT(d.text_of(kForbiddenInCapture),
                AllOf(HasSubstr("when stream is capturing"), HasSubstr(words)));
    EXPECT_EQ(d.end_capture(stream, &graph), kCaptureBroken);
    EXPECT_THAT(d.text_of(kCaptureBroken), HasSubstr("a forbidden call has broken the capture"));
  };
  expect_refused("synchronisation of a stream that captures",
                 [&] { return d.synchronize(stream); });
  expect_refused("synchronisation while a stream captures", [&] { return d.synchronize(nullptr); });
  expect_refused("synchronisation while a stream captures", [&] { return d.release(to); });
  expect_refused("allocation while a stream captures", [&] { return d.allocate(&data, kBytes); });
  expect_refused("allocation while a stream captures",
                 [&] { return d.allocate_pinned(&data, kBytes); });
  expect_refused("work on the default stream while a stream captures",
                 [&] { return d.fill(to, 0, kBytes, nullptr); });
  // A thread may say that it knows what it does.
  int mode = 2;
  ASSERT_EQ(d.exchange_capture_mode(&mode), 0);
  ASSERT_EQ(d.begin_capture(stream), 0);
  EXPECT_EQ(d.allocate(&data, kBytes), 0);
  EXPECT_EQ(d.end_capture(stream, &graph), 0);
  EXPECT_EQ(d.exchange_capture_mode(&mode), 0);
  EXPECT_EQ(mode, 2);
  EXPECT_EQ(d.release(data), 0);
  void* executable = nullptr;
  EXPECT_EQ(d.instantiate(&executable, graph), 0);
  EXPECT_EQ(d.destroy_graph(graph, executable), 0);
}

TEST_P(Driver, SeveralHostThreads) {
  std::vector<std::vector<int32_t>> results(4, std::vector<int32_t>(kN));
  std::vector<std::thread> threads;
  for (auto& out : results)
    threads.emplace_back([this, &out] {
      // A thread makes the device current for itself.
      VendorDriver mine(GetParam());
      void *own = nullptr, *data = nullptr;
      EXPECT_EQ(mine.make_stream(&own), 0);
      for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(mine.allocate_ordered(&data, kBytes, own), 0);
        const TestArgs args{from, static_cast<int32_t*>(data), kN};
        EXPECT_EQ(
            mine.launch("attend_test_add_one", {4, 1, 1}, kTestThreads, 0, &args, sizeof args, own),
            0);
        EXPECT_EQ(mine.copy(out.data(), data, kBytes, own), 0);
        EXPECT_EQ(mine.release_ordered(data, own), 0);
      }
      EXPECT_EQ(mine.destroy_stream(own), 0);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& out : results) EXPECT_EQ(out, host_plus(1));
}

}  // namespace
}  // namespace attend::simt
