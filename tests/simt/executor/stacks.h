#pragma once
#include <cstddef>

// Stacks by number, each with a page below it that nobody may touch, and one for
// telling that a thread has used up its own.
namespace attend::simt {

class Stacks {
 public:
#if defined(__SANITIZE_ADDRESS__) || defined(ATTEND_SIMT_TSAN) || !defined(__OPTIMIZE__)
  static constexpr size_t kBytes = 512 << 10;
#else
  static constexpr size_t kBytes = 128 << 10;
#endif
  static constexpr int kMost = 2048;

  Stacks();
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  char* of(int stack) const;  // the lowest byte
  char* emergency() const;    // the highest
  void renew(int stack);      // what was there before is gone
  bool below(int stack, const void* address) const;

 private:
  char* all_ = nullptr;
};

}  // namespace attend::simt
