#include "backends/native/scratch.h"

#include <new>

namespace attend::native {
namespace {

constexpr uint64_t kAlignment = 64;

std::byte* allocate(uint64_t bytes) {
  return static_cast<std::byte*>(
      ::operator new (bytes, std::align_val_t{kAlignment}, std::nothrow));
}
void deallocate(std::byte* data) { ::operator delete (data, std::align_val_t{kAlignment}); }

// Fresh memory costs a page fault every 4 KiB, which for a short call is more than the call; so a
// thread keeps its largest block. Threads x tiles bound it, not sequence lengths.
struct KeptBlock {
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  bool in_use = false;  // a parallel_for may run another call on this thread while it waits

  KeptBlock() = default;
  KeptBlock(const KeptBlock&) = delete;
  KeptBlock& operator=(const KeptBlock&) = delete;
  ~KeptBlock() { deallocate(data); }

  std::byte* take(uint64_t wanted) {
    if (bytes < wanted) {
      deallocate(data);
      data = allocate(wanted);
      bytes = data == nullptr ? 0 : wanted;
    }
    in_use = data != nullptr;
    return data;
  }
};
thread_local KeptBlock t_kept;

uint64_t stride_of(uint64_t bytes_per_worker) {
  // Parts of a power of two apart would fall into the same cache sets; one line more keeps them
  // apart.
  return (bytes_per_worker + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
}

}  // namespace

uint64_t Scratch::bytes(uint64_t bytes_per_worker, int32_t workers) {
  return stride_of(bytes_per_worker) * static_cast<uint64_t>(workers);
}

Scratch::Scratch(const ExecContext& context, uint64_t bytes_per_worker, int32_t workers)
    : context_(context),
      stride_(stride_of(bytes_per_worker)),
      total_(bytes(bytes_per_worker, workers)) {
  if (context.workspace != nullptr && context.workspace_bytes >= total_ &&
      reinterpret_cast<uintptr_t>(context.workspace) % kAlignment == 0) {
    base_ = static_cast<std::byte*>(context.workspace);
  } else if (context.allocator.allocate != nullptr) {
    source_ = Source::kAllocator;
    const Allocator& a = context.allocator;
    base_ = static_cast<std::byte*>(
        a.allocate(a.user, context.device, total_, kAlignment, context.stream));
  } else if (!t_kept.in_use) {
    source_ = Source::kKept;
    base_ = t_kept.take(total_);
  } else {
    source_ = Source::kHeap;
    base_ = allocate(total_);
  }
}

Scratch::~Scratch() {
  if (base_ == nullptr) return;
  const Allocator& a = context_.allocator;
  switch (source_) {
    case Source::kWorkspace: break;
    case Source::kAllocator:
      a.deallocate(a.user, context_.device, base_, total_, context_.stream);
      break;
    case Source::kKept: t_kept.in_use = false; break;
    case Source::kHeap: deallocate(base_); break;
  }
}

}  // namespace attend::native
