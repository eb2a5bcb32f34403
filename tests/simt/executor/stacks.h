#pragma once
#include <cstddef>

// The stacks of a block's threads, each with a page below it that nobody may touch, and one for
// telling that a thread has used up its own.
namespace attend::simt {

class Stacks {
 public:
#if defined(__SANITIZE_ADDRESS__) || defined(ATTEND_SIMT_TSAN) || !defined(__OPTIMIZE__)
  static constexpr size_t kBytes = 512 << 10;
#else
  static constexpr size_t kBytes = 128 << 10;
#endif
  static constexpr int kMost = 1024;  // threads of a block

  Stacks();
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  char* of(int thread) const;  // the lowest byte
  char* emergency() const;     // the highest
  void renew(int thread);      // what was there before is gone
  bool below(int thread, const void* address) const;

 private:
  char* all_ = nullptr;
};

}  // namespace attend::simt
