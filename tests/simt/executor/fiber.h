#pragma once
#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// A stack of its own that a GPU thread runs on, and the switch between two: a dozen instructions on
// x86-64, ucontext elsewhere. Sanitizers are told of every stack and every switch.
namespace attend::simt {

class Fiber {
 public:
  using Entry = void (*)(void*);

  // Makes this the stack that the caller runs on.
  void adopt_caller();
  // entry(arg) runs on stack[0, bytes) from the first switch on, and never returns. Whatever ran
  // there before is dropped.
  void start(char* stack, size_t bytes, Entry entry, void* arg);
  void end();

  static void switch_to(Fiber& from, Fiber& to);

 private:
  void arrive();

#if defined(__x86_64__)
  void* sp_ = nullptr;
#else
  ucontext_t context_{};
  static void first_steps(unsigned high, unsigned low);
#endif
  Entry entry_ = nullptr;
  void* arg_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* sanitizer_ = nullptr;  // address: the frames it keeps apart; thread: what it calls a fiber
  bool borrowed_ = false;      // a stack that was there before us
};

}  // namespace attend::simt
