#pragma once
#include <cstddef>
#include <cstdint>

#include "attend/kernel.h"

namespace attend::native {

// Scratch of one call, one equal part a worker, each 64-byte aligned. Taken from the caller's
// workspace if that is large enough, else from the caller's allocator, else from a block that this
// thread keeps between calls.
class Scratch {
 public:
  Scratch(const ExecContext& context, uint64_t bytes_per_worker, int32_t workers);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  explicit operator bool() const { return base_ != nullptr; }
  std::byte* of(int32_t worker) const { return base_ + static_cast<uint64_t>(worker) * stride_; }

  // What a workspace must hold.
  static uint64_t bytes(uint64_t bytes_per_worker, int32_t workers);

 private:
  enum class Source : uint8_t { kWorkspace, kAllocator, kKept, kHeap };

  const ExecContext& context_;
  Source source_ = Source::kWorkspace;
  uint64_t stride_ = 0, total_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace attend::native
