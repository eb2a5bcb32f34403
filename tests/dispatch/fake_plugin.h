#pragma once
#include <cstdint>

#include "attend/kernel.h"

// What a test can see of a loaded fake_plugin, found by dlsym: the plugin's C function
// fake_state().
struct FakeState {
  // Counted by the plugin.
  int32_t runs = 0, copies = 0, synchronizes = 0, live_blocks = 0;
  int64_t live_bytes = 0;
  int32_t live_pinned = 0;
  attend::ErrorWord* error_word = nullptr;  // of the last run
  attend::ErrorWord own_word;
  attend::Device ran_on{};
  void* ran_with_stream = nullptr;
  // Set by a test, so that the plugin fails where a real one may.
  bool out_of_memory = false, copy_fails = false, run_fails = false;
};

// The plugin's "device" addresses are host addresses with this bit set. They are no legal
// addresses, so that code which reads device memory on the host faults instead of passing by luck.
inline constexpr uint64_t kFakeDeviceBit = uint64_t{1} << 62;
