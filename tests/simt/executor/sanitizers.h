#pragma once
// What the executor tells the sanitizers. Its own files are compiled without the thread sanitizer's
// instrumentation, so that only what kernels do is watched: the build says ATTEND_SIMT_TSAN there.
#include <cstddef>

#if defined(__SANITIZE_THREAD__) && !defined(ATTEND_SIMT_TSAN)
#define ATTEND_SIMT_TSAN 1
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(ATTEND_SIMT_TSAN)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read16(void* address);
void __tsan_write16(void* address);
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif

namespace attend::simt {

// What the caller did so far happens before whatever follows a later acquire of the same cell.
inline void release([[maybe_unused]] void* cell) {
#if defined(ATTEND_SIMT_TSAN)
  __tsan_release(cell);
#endif
}
inline void acquire([[maybe_unused]] void* cell) {
#if defined(ATTEND_SIMT_TSAN)
  __tsan_acquire(cell);
#endif
}

// An access of 16 bytes by the executor on behalf of the kernel.
inline void observe_read16([[maybe_unused]] const void* at) {
#if defined(ATTEND_SIMT_TSAN)
  __tsan_read16(const_cast<void*>(at));
#endif
}
inline void observe_write16([[maybe_unused]] void* at) {
#if defined(ATTEND_SIMT_TSAN)
  __tsan_write16(at);
#endif
}

#if defined(ATTEND_SIMT_TSAN)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// While one lives, the thread sanitizer ignores what the caller does: the accesses are the executor's
// own, not the kernel's.
class Unwatched {
 public:
#if defined(ATTEND_SIMT_TSAN)
  Unwatched() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~Unwatched() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
#else
  Unwatched() {}  // not trivial, so that no one calls the variable unused
  ~Unwatched() {}
#endif
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

// The address sanitizer reports accesses to these bytes from now on, or no longer.
inline void poison([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(data, bytes);
#endif
}
inline void unpoison([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(data, bytes);
#endif
}

}  // namespace attend::simt
