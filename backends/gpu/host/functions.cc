#include "backends/gpu/host/functions.h"

#include <cstring>

#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/images.h"

namespace attend::gpu {
namespace {

const Image* image_of(const char* kernel, const std::string& arch) {
  for (const Image& image : images())
    if (std::strcmp(image.kernel, kernel) == 0 &&
        (arch == image.arch || !std::strcmp(image.arch, "any")))
      return &image;
  return nullptr;
}

}  // namespace

Functions::Function* Functions::find(const char* name, size_t* free_slot) const {
  // Names lie a few bytes apart: the product spreads their low bits.
  size_t at = static_cast<size_t>(reinterpret_cast<uintptr_t>(name) * 0x9E3779B97F4A7C15ull >> 52);
  static_assert(kSlots == size_t{1} << (64 - 52));
  for (size_t step = 0; step < kSlots; ++step, at = (at + 1) % kSlots) {
    Function* here = slots_[at].load(std::memory_order_acquire);
    if (here == nullptr) {
      *free_slot = at;
      return nullptr;
    }
    if (here->name == name) return here;
  }
  *free_slot = kSlots;
  return nullptr;
}

Status Functions::get(const Kernel& kernel, const DeviceInfo& info, Function** function) {
  size_t free_slot = 0;
  *function = find(kernel.name, &free_slot);
  if (*function != nullptr) return {};
  const std::lock_guard lock(loading_);
  *function = find(kernel.name, &free_slot);
  if (*function != nullptr) return {};
  if (free_slot == kSlots)
    return {ErrorCode::kDeviceError, "more than {} kernels are loaded", kSlots};
  void* handle = nullptr;
  if (const Status s = load(kernel, info, &handle); !s) return s;
  kept_.push_back(std::make_unique<Function>(kernel.name, handle));
  *function = kept_.back().get();
  slots_[free_slot].store(*function, std::memory_order_release);
  return {};
}

Status Functions::load(const Kernel& kernel, const DeviceInfo& info, void** handle) {
  const Image* image = image_of(kernel.name, info.arch);
  // A stand-in knows kernels by their names and needs no image.
  if (image == nullptr && !driver::is_stand_in())
    return refused(ErrorCode::kUnsupported, std::string("this build carries no code of ") +
                                                kernel.name + " for " + info.arch + " (" +
                                                info.name + ")");
  const driver::Uncaptured uncaptured;
  void* module = nullptr;
  if (const driver::Code code = driver::load_module(&module, image ? image->data : nullptr))
    return failed(std::string("loading ") + kernel.name + " for " + info.arch, code);
  if (const driver::Code code = driver::find_function(handle, module, kernel.name))
    return failed(std::string("looking up ") + kernel.name, code);
  return {};
}

}  // namespace attend::gpu
