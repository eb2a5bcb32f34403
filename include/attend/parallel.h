#pragma once
#include <cstdint>
#include <type_traits>

#include "attend/export.h"

// The library's own threads, used by native kernels when ExecContext::parallel_for is not set. They
// start with the first call that has work for them, stay awake for 50 us after a call where there are
// CPUs enough, sleep when idle and end with the process.
namespace attend {

// How many threads a call may use, the caller's included.
//   default  ATTEND_NUM_THREADS in the environment, else the CPUs that this process may run on
ATTEND_API int32_t num_threads();

//   errors   kInvalidArgument if count < 1
ATTEND_API void set_num_threads(int32_t count);

// Runs body(context, task, worker) once for every task in [0, tasks) on these threads and returns
// when all are done: 0 <= worker < num_threads(), no two tasks at once under one number. A task that
// asks for tasks of its own runs them itself, in turn.
ATTEND_API void parallel_for(int64_t tasks,
                             void (*body)(void* context, int64_t task, int32_t worker),
                             void* context);

// The same for a callable f(task, worker), which must not throw.
template <class F>
void parallel_for(int64_t tasks, F&& f) {
  using Body = std::remove_reference_t<F>;
  parallel_for(
      tasks,
      [](void* body, int64_t task, int32_t worker) { (*static_cast<Body*>(body))(task, worker); },
      const_cast<void*>(static_cast<const void*>(&f)));
}

}  // namespace attend
