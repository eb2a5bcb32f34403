#include "tests/simt/executor/fiber.h"

#include <pthread.h>

#include <cstdint>
#include <cstdlib>

#include "tests/simt/executor/sanitizers.h"

#if defined(__x86_64__)
// Saves what a called function must keep, changes stacks, restores. A fiber that has not run yet
// has its entry in r13 and its argument in r12.
extern "C" {
void attend_simt_switch(void** save, void* load);
void attend_simt_first_steps();
}
asm(R"(
  .text
  .hidden attend_simt_switch
  .globl attend_simt_switch
  .type attend_simt_switch, @function
attend_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size attend_simt_switch, .-attend_simt_switch

  .hidden attend_simt_first_steps
  .globl attend_simt_first_steps
  .type attend_simt_first_steps, @function
attend_simt_first_steps:
  .cfi_startproc
  .cfi_undefined rip
  movq %r12, %rdi
  call *%r13
  ud2
  .cfi_endproc
  .size attend_simt_first_steps, .-attend_simt_first_steps
)");
#endif

namespace attend::simt {

void Fiber::adopt_caller() {
  borrowed_ = true;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* bottom = nullptr;
    pthread_attr_getstack(&attributes, &bottom, &bytes_);
    bottom_ = bottom;
    pthread_attr_destroy(&attributes);
  }
#if defined(ATTEND_SIMT_TSAN)
  sanitizer_ = __tsan_get_current_fiber();
#endif
}

void Fiber::start(char* stack, size_t bytes, Entry entry, void* arg) {
  end();
  unpoison(stack, bytes);  // frames that never returned have left their red zones behind
  bottom_ = stack, bytes_ = bytes, entry_ = entry, arg_ = arg;
#if defined(ATTEND_SIMT_TSAN)
  sanitizer_ = __tsan_create_fiber(0);
#else
  sanitizer_ = nullptr;
#endif
  const Entry begin = [](void* self) {
    auto* fiber = static_cast<Fiber*>(self);
    fiber->arrive();
    fiber->entry_(fiber->arg_);
    std::abort();  // entries never return
  };
#if defined(__x86_64__)
  // What attend_simt_switch pops: r15 r14 r13 r12 rbx rbp, then where to go on.
  auto* top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15});
  *--top = nullptr;
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&attend_simt_first_steps);
  *--top = nullptr;
  *--top = nullptr;
  *--top = this;
  *--top = reinterpret_cast<void*>(begin);
  *--top = nullptr;
  *--top = nullptr;
  sp_ = top;
#else
  (void)begin;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = bytes;
  context_.uc_link = nullptr;
  const auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::first_steps), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#endif
}

#if !defined(__x86_64__)
void Fiber::first_steps(unsigned high, unsigned low) {
  auto* fiber = reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low);
  fiber->arrive();
  fiber->entry_(fiber->arg_);
  std::abort();
}
#endif

void Fiber::end() {
#if defined(ATTEND_SIMT_TSAN)
  if (sanitizer_ && !borrowed_) __tsan_destroy_fiber(sanitizer_);
#endif
  sanitizer_ = nullptr;
}

void Fiber::arrive() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(sanitizer_, nullptr, nullptr);
#endif
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.sanitizer_, to.bottom_, to.bytes_);
#elif defined(ATTEND_SIMT_TSAN)
  __tsan_switch_to_fiber(to.sanitizer_, 1);  // 1: a switch orders nothing
#endif
#if defined(__x86_64__)
  attend_simt_switch(&from.sp_, to.sp_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
  from.arrive();
}

}  // namespace attend::simt
