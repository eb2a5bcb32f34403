#include "tests/simt/executor/shared_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>
#include <utility>

#include "tests/simt/executor/sanitizers.h"

namespace attend::simt {
namespace {

constexpr uint32_t kPage = 4096, kAlignment = 1024;
constexpr uint32_t kGuard = 1 << 20;  // on each side: far strides land there as well
constexpr size_t kRegion = kGuard + SharedMemory::kMost + kGuard + SharedMemory::kCellBytes;
constexpr int kAccess = PROT_READ | PROT_WRITE, kFlags = MAP_PRIVATE | MAP_ANONYMOUS;

uint32_t round_up(uint32_t bytes, uint32_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

SharedMemory::SharedMemory() {
  void* all = mmap(nullptr, kRegion, PROT_NONE, kFlags, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  region_ = static_cast<char*>(all);
  open_ = data_ = end();
  mprotect(cells(), kCellBytes, kAccess);
}

SharedMemory::~SharedMemory() {
  unpoison(region_, kRegion);
  munmap(region_, kRegion);
}

char* SharedMemory::end() const { return region_ + kGuard + kMost; }
char* SharedMemory::cells() const {
  return end() + kGuard + blocks_ % (kCellBytes / kBlockCellBytes) * kBlockCellBytes;
}

void SharedMemory::begin(uint32_t bytes) {
  const Unwatched own;
  unpoison(open_, static_cast<size_t>(end() - open_));
  char* const open = end() - round_up(bytes, kPage);
  const auto open_bytes = static_cast<size_t>(end() - open);
  // To the thread sanitizer a new mapping is new memory: what an earlier block did is no race.
  if (open != open_ || kThreadSanitizer) {
    mmap(end() - kMost, kMost, PROT_NONE, kFlags | MAP_FIXED, -1, 0);
    if (open_bytes) mmap(open, open_bytes, kAccess, kFlags | MAP_FIXED, -1, 0);
  }
  ++blocks_;
  open_ = open;
  data_ = end() - round_up(bytes, kAlignment);
  bytes_ = bytes;
  std::memset(open, 0xff, open_bytes);
  poison(open, static_cast<size_t>(data_ - open));
  poison(data_ + bytes, static_cast<size_t>(end() - data_ - bytes));
}

bool SharedMemory::near(uintptr_t address) const {
  const auto begin = reinterpret_cast<uintptr_t>(region_);
  return address >= begin && address < begin + kRegion - kCellBytes;
}

int64_t SharedMemory::offset(uintptr_t address) const {
  return static_cast<int64_t>(address) - static_cast<int64_t>(reinterpret_cast<uintptr_t>(data_));
}

int64_t SharedMemory::overwritten() const {
#if !defined(__SANITIZE_ADDRESS__)  // which has reported it
  for (const auto& [begin, stop] : {std::pair(open_, data_), std::pair(data_ + bytes_, end())})
    for (const char* p = begin; p < stop; ++p)
      if (*p != '\xff') return p - data_;
#endif
  return 0;
}

}  // namespace attend::simt
