#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

#include "attend/kernel.h"

namespace attend::native {

// Memory that one call holds and that grows with its sequences, from the caller's allocator if there
// is one: unlike Scratch, no thread keeps it. 64-byte aligned.
class HeldMemory {
 public:
  HeldMemory(const ExecContext& context, uint64_t bytes)
      : context_(context), bytes_(std::max<uint64_t>(bytes, 1)) {
    const Allocator& a = context.allocator;
    data_ = static_cast<std::byte*>(
        a.allocate != nullptr
            ? a.allocate(a.user, context.device, bytes_, kAlignment, context.stream)
            : ::operator new (bytes_, std::align_val_t{kAlignment}, std::nothrow));
  }
  ~HeldMemory() {
    const Allocator& a = context_.allocator;
    if (data_ == nullptr) return;
    if (a.deallocate != nullptr)
      a.deallocate(a.user, context_.device, data_, bytes_, context_.stream);
    else
      ::operator delete (data_, std::align_val_t{kAlignment});
  }
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;

  std::byte* data() const { return data_; }  // null if there was none

 private:
  static constexpr uint64_t kAlignment = 64;

  const ExecContext& context_;
  const uint64_t bytes_;
  std::byte* data_ = nullptr;
};

}  // namespace attend::native
