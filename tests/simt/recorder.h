#pragma once
#include <gtest/gtest.h>

#include <map>

#include "attend/tensor.h"
#include "tests/simt/vendor_driver.h"

namespace attend::simt {

// The driver that a plugin has opened; one as long as the program runs.
inline VendorDriver& driver_of(DeviceType type) {
  static std::map<DeviceType, VendorDriver> drivers;
  const auto found = drivers.find(type);
  return found != drivers.end()
             ? found->second
             : drivers.emplace(type, VendorDriver::of_plugin(name(type))).first->second;
}

// A stream of the caller's, and the graph that is captured from it.
class Recorder {
 public:
  explicit Recorder(DeviceType type) : driver(driver_of(type)) {
    EXPECT_EQ(driver.make_stream(&stream), 0);
  }
  ~Recorder() {
    if (executable_ != nullptr) {
      EXPECT_EQ(driver.destroy_graph(graph_, executable_), 0);
    }
    EXPECT_EQ(driver.destroy_stream(stream), 0);
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // What the driver says at the end; where that is 0, replay() repeats what `enqueue` did. Mode
  // "global": nothing that could wait or allocate is allowed on any thread.
  template <class Enqueue>
  int capture(const Enqueue& enqueue) {
    EXPECT_EQ(driver.begin_capture(stream), 0);
    try {
      enqueue();
    } catch (...) {
      driver.end_capture(stream, &graph_);
      throw;
    }
    const int code = driver.end_capture(stream, &graph_);
    return code != 0 ? code : driver.instantiate(&executable_, graph_);
  }
  // Done when it returns.
  void replay() {
    int code = driver.replay(executable_, stream);
    if (code == 0) code = driver.synchronize(stream);
    EXPECT_EQ(code, 0) << driver.text_of(code);
  }

  VendorDriver& driver;
  void* stream = nullptr;

 private:
  void *graph_ = nullptr, *executable_ = nullptr;
};

}  // namespace attend::simt
