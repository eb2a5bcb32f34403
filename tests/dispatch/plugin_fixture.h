#pragma once
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "attend/attend.h"
#include "tests/dispatch/fake_plugin.h"

// The fake plugins, loaded once, and what they counted. Their addresses are illegal on the host
// (fake_plugin.h), so that every touch of device memory by the library itself ends the test.
namespace attend::testing {

inline constexpr Device kCuda0{DeviceType::kCuda, 0};
inline constexpr Device kRocm0{DeviceType::kRocm, 0};

inline std::string path_of(const std::string& plugin) {
  return std::string(ATTEND_PLUGINS) + "/lib" + plugin + ".so";
}

inline FakeState& state_of(const std::string& plugin) {
  void* handle = dlopen(path_of(plugin).c_str(), RTLD_NOW | RTLD_NOLOAD);
  EXPECT_NE(handle, nullptr) << plugin << " is not loaded";
  const auto get = reinterpret_cast<FakeState* (*)()>(dlsym(handle, "fake_state"));
  return *get();
}

class Plugin : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Registry::global().load_backend(path_of("fake_cuda"));
    Registry::global().load_backend(path_of("fake_rocm"));
  }
  void SetUp() override {
    for (FakeState* s : {&cuda, &rocm}) *s = {};
  }
  void TearDown() override {
    EXPECT_EQ(cuda.live_blocks, 0);
    EXPECT_EQ(cuda.live_bytes, 0);
    EXPECT_EQ(rocm.live_blocks, 0);
  }
  FakeState& cuda = state_of("fake_cuda");
  FakeState& rocm = state_of("fake_rocm");
};

}  // namespace attend::testing
