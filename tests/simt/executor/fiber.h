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
  // entry(arg) runs on stack[0, bytes) at the first switch, and never returns.
  void start(char* stack, size_t bytes, Entry entry, void* arg);
  // Drops what runs there, wherever it is.
  void end();

  static void switch_to(Fiber& from, Fiber& to);

 private:
  friend void first_steps(Fiber&);
#if defined(__x86_64__)
  void* sp_ = nullptr;
#else
  ucontext_t context_{};
#endif
  Entry entry_ = nullptr;
  void* arg_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* sanitizer_ = nullptr;  // address: its stack of frames; thread: its thread
  bool borrowed_ = false;
};

// While one lives, the thread sanitizer does not watch: the accesses are the executor's own, not
// the kernel's.
#if defined(__SANITIZE_THREAD__)
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
class Unobserved {
 public:
  Unobserved() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~Unobserved() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;
};
#else
class Unobserved {
 public:
  Unobserved() {}  // not trivial, so that no one calls the variable unused
  ~Unobserved() {}
};
#endif

}  // namespace attend::simt
