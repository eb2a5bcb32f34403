#pragma once
#include <cstddef>
#include <cstdint>

#include "attend/kernel.h"

namespace attend::gpu {

// Pinned native memory through which one call's bytes pass on their way to or from a device. Getting
// and giving back such memory costs milliseconds and may wait for the device: the plugin keeps it for
// the next call, together with an event that tells when the device is done with it.
class Staging {
 public:
  Staging() = default;
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Once. Waits until the device has done what the last owner enqueued.
  //   errors   kOutOfMemory
  Status take(const ExecContext& context, uint64_t bytes);
  std::byte* data() const { return static_cast<std::byte*>(slot_.data); }

  // Enqueues a copy into or out of the memory, which is then the device's until wait().
  Status copy(void* to, const void* from, uint64_t bytes);
  Status wait();

 private:
  struct Slot {
    void* data = nullptr;
    void* event = nullptr;
    uint64_t bytes = 0;
    int32_t device = 0;
    bool pending = false;  // the event has been recorded and not been waited for
  };
  struct Kept;
  static Kept& kept();
  static Status settle(Slot& slot);
  static Status fit(Slot& slot, uint64_t bytes);

  Slot slot_;
  void* stream_ = nullptr;
};

}  // namespace attend::gpu
