#include "tests/simt/executor/traps.h"

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "tests/simt/executor/block.h"

namespace attend::simt {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction previous[64];

void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& before = previous[signal];
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler == SIG_IGN) return;
  if (before.sa_handler != SIG_DFL) return before.sa_handler(signal);
  sigaction(signal, &before, nullptr);  // the instruction raises it again
}

#if defined(__x86_64__)
__attribute__((no_sanitize("address"))) void go_on() { Block::running()->stop_by_trap(); }

// The thread goes on in go_on, on a stack of its own: its own may be what it has used up.
void handle(int signal, siginfo_t* info, void* context) {
  Block* const block = Block::running();
  if (!block) return pass_on(signal, info, context);
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  block->trapped({.signal = signal,
                  .write = (registers[REG_ERR] & 2) != 0,
                  .address = reinterpret_cast<uintptr_t>(info->si_addr)});
  registers[REG_RSP] =
      static_cast<greg_t>(reinterpret_cast<uintptr_t>(block->emergency_stack()) - 8);
  registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(&go_on));
}
#else
void handle(int signal, siginfo_t* info, void* context) { pass_on(signal, info, context); }
#endif

void install() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int signal : kSignals) sigaction(signal, &action, &previous[signal]);
}

// A thread whose stack is used up cannot take a signal on it. Some sanitizers have seen to that.
class SignalStack {
 public:
  SignalStack() {
    stack_t before{};
    sigaltstack(nullptr, &before);
    if (!(before.ss_flags & SS_DISABLE)) return;
    memory_.reset(new char[kBytes]);
    stack_t mine{};
    mine.ss_sp = memory_.get();
    mine.ss_size = kBytes;
    sigaltstack(&mine, nullptr);
  }
  ~SignalStack() {
    if (!memory_) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  static constexpr size_t kBytes = 64 << 10;
  std::unique_ptr<char[]> memory_;
};

}  // namespace

void catch_traps() {
  static std::once_flag once;
  std::call_once(once, install);
  thread_local const SignalStack stack;
  (void)stack;
}

}  // namespace attend::simt
