#pragma once
#include <cstdint>
#include <type_traits>

#include "attend/kernel.h"

namespace attend::native {

// How many workers a call of this many tasks has: those of the embedding program's parallel_for, or
// as many of the library's own as find work. Asked once a call, as set_num_threads may change it at
// any time.
int32_t worker_count(const ExecContext& context, int64_t tasks);

// Runs body(context, task, worker) for every task, worker < workers; see ParallelFor.
void run_tasks(const ExecContext& context, int32_t workers, int64_t tasks,
               void (*body)(void*, int64_t, int32_t), void* body_context);

// The same for a callable f(task, worker), which must not throw.
template <class F>
void parallel(const ExecContext& context, int32_t workers, int64_t tasks, F&& f) {
  using Body = std::remove_reference_t<F>;
  run_tasks(
      context, workers, tasks,
      [](void* body, int64_t task, int32_t worker) { (*static_cast<Body*>(body))(task, worker); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

}  // namespace attend::native
