#include "backends/gpu/host/staging.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"

namespace attend::gpu {

// What no call has just now.
struct Staging::Kept {
  std::mutex mutex;
  std::vector<Slot> slots;

  // The smallest of a device that is large enough, else any, else none.
  Slot take(int32_t device, uint64_t bytes) {
    const std::lock_guard lock(mutex);
    const auto better = [&](const Slot& a, const Slot& b) {  // than b
      if ((a.bytes >= bytes) != (b.bytes >= bytes)) return a.bytes >= bytes;
      return a.bytes < b.bytes;
    };
    auto best = slots.end();
    for (auto slot = slots.begin(); slot != slots.end(); ++slot)
      if (slot->device == device && (best == slots.end() || better(*slot, *best))) best = slot;
    if (best == slots.end()) return {nullptr, nullptr, 0, device, false};
    const Slot taken = *best;
    slots.erase(best);
    return taken;
  }
};

Staging::Kept& Staging::kept() {
  static auto& all = *new Kept;  // the driver may be gone before statics are
  return all;
}

Status Staging::settle(Slot& slot) {
  if (!std::exchange(slot.pending, false)) return {};
  const driver::Code code = driver::wait_for(slot.event);
  return code == 0 ? Status{} : failed("waiting for a copy", code);
}

Status Staging::fit(Slot& slot, uint64_t bytes) {
  if (slot.event == nullptr)
    if (const driver::Code code = driver::make_event(&slot.event))
      return failed("making an event", code);
  if (slot.bytes >= bytes) return {};
  if (slot.data != nullptr) driver::release_pinned(std::exchange(slot.data, nullptr));
  slot.bytes = 0;
  if (const driver::Code code = driver::allocate_pinned(&slot.data, bytes)) {
    slot.data = nullptr;
    return failed("allocation of pinned memory", code);
  }
  slot.bytes = bytes;
  return {};
}

Status Staging::take(const ExecContext& context, uint64_t bytes) {
  stream_ = context.stream;
  slot_ = kept().take(context.device.index, std::max<uint64_t>(bytes, 1));
  const driver::Current current(slot_.device);
  if (current.code() != 0) return failed("making the device current", current.code());
  const driver::Uncaptured uncaptured;
  if (const Status s = settle(slot_); !s) return s;
  return fit(slot_, std::max<uint64_t>(bytes, 1));
}

Status Staging::copy(void* to, const void* from, uint64_t bytes) {
  if (bytes == 0) return {};
  const driver::Current current(slot_.device);
  if (current.code() != 0) return failed("making the device current", current.code());
  if (const driver::Code code = driver::copy(to, from, bytes, stream_)) return failed("copy", code);
  const driver::Code code = driver::record(slot_.event, stream_);
  if (code != 0) {  // nobody could tell when the memory is free
    driver::synchronize(stream_);
    return failed("recording an event", code);
  }
  slot_.pending = true;
  return {};
}

Status Staging::wait() {
  const driver::Current current(slot_.device);
  if (current.code() != 0) return failed("making the device current", current.code());
  return settle(slot_);
}

Staging::~Staging() {
  if (slot_.data == nullptr && slot_.event == nullptr) return;
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  all.slots.push_back(slot_);
}

}  // namespace attend::gpu
