// The C surface from C++: each thread has its own last error, calls on many threads do not meet,
// and nothing is thrown where a device is not there.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "attend/c_api.h"
#include "attend/error.h"

namespace attend::testing {
namespace {

TEST(CApi, EachThreadHasItsOwnLastError) {
  EXPECT_EQ(attend_call_create("flush"), nullptr);
  const std::string mine = attend_last_error_message();
  EXPECT_NE(mine.find("'flush'"), std::string::npos);
  std::thread([] {
    EXPECT_EQ(attend_last_error(), ATTEND_OK);
    EXPECT_STREQ(attend_last_error_message(), "");
    EXPECT_EQ(attend_call_create("other"), nullptr);
    EXPECT_NE(std::string(attend_last_error_message()).find("'other'"), std::string::npos);
  }).join();
  EXPECT_EQ(attend_last_error_message(), mine);
}

TEST(CApi, CallsOnManyThreadsDoNotMeet) {
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&right, t] {
      for (int n = 0; n < 50; ++n) {
        float q[64] = {}, k[64] = {}, v[64], out[64] = {};
        for (float& x : v) x = static_cast<float>(t * 100 + n);
        const int64_t shape[4] = {1, 1, 1, 64};
        attend_call* call = attend_call_create(t % 2 ? "flash" : "vanilla");
        const std::pair<const char*, float*> tensors[] = {
            {"q", q}, {"k", k}, {"v", v}, {"out", out}};
        for (const auto& [word, data] : tensors) {
          attend_tensor view;
          attend_contiguous(&view, data, ATTEND_F32, 4, shape);
          attend_call_set_tensor(call, word, &view);
        }
        // One key: the output is its value.
        if (attend_call_run(call, nullptr) == ATTEND_OK && out[63] == v[0]) ++right;
        attend_call_destroy(call);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 400);
}

TEST(CApi, ABackendThatIsNotThereIsAnError) {
  attend_call* call = attend_call_create("merge");
  bool cuda = false;
  attend_list_backends(
      [](void* user, const attend_backend_info* b) {
        *static_cast<bool*>(user) |= b->device_type == ATTEND_CUDA;
      },
      &cuda);
  if (cuda) GTEST_SKIP() << "a cuda backend is loaded";
  const char* kernel = "?";
  EXPECT_EQ(attend_call_run(call, "cuda"), ATTEND_BACKEND_UNAVAILABLE);
  EXPECT_EQ(attend_last_error(), ATTEND_BACKEND_UNAVAILABLE);
  EXPECT_EQ(attend_call_supports(call, "cuda", &kernel), ATTEND_BACKEND_UNAVAILABLE);
  EXPECT_STREQ(kernel, "");
  attend_call_destroy(call);
}

TEST(CApi, EveryCodeHasItsName) {
  for (int code = ATTEND_OK; code <= ATTEND_OUT_OF_MEMORY; ++code)
    EXPECT_STREQ(attend_error_name(static_cast<attend_error_code>(code)),
                 name(static_cast<ErrorCode>(code)));
}

}  // namespace
}  // namespace attend::testing
