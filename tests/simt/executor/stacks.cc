#include "tests/simt/executor/stacks.h"

#include <sys/mman.h>

#include <new>

#include "tests/simt/executor/sanitizers.h"

namespace attend::simt {
namespace {

constexpr size_t kGuard = 4096, kStep = Stacks::kBytes + kGuard;
constexpr size_t kAll = kStep * (Stacks::kMost + 1);
constexpr int kAccess = PROT_READ | PROT_WRITE;
constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

Stacks::Stacks() {
  void* all = mmap(nullptr, kAll, PROT_NONE, kFlags, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  all_ = static_cast<char*>(all);
  mprotect(of(kMost), kBytes, kAccess);
}

Stacks::~Stacks() {
  unpoison(all_, kAll);
  munmap(all_, kAll);
}

char* Stacks::of(int stack) const { return all_ + static_cast<size_t>(stack) * kStep + kGuard; }
char* Stacks::emergency() const { return of(kMost) + kBytes; }

void Stacks::renew(int stack) {
  const Unwatched own;
  unpoison(of(stack), kBytes);
  mmap(of(stack), kBytes, kAccess, kFlags | MAP_FIXED, -1, 0);
}

bool Stacks::below(int stack, const void* address) const {
  const auto* at = static_cast<const char*>(address);
  return at >= of(stack) - kGuard && at < of(stack);
}

}  // namespace attend::simt
