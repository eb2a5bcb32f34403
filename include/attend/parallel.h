#pragma once
#include <cstdint>

#include "attend/export.h"

// The library's own threads, used by native kernels when ExecContext::parallel_for is not set. They
// start with the first call that has work for them, sleep when idle and end with the process.
namespace attend {

// How many threads a call may use, the caller's included.
//   default  ATTEND_NUM_THREADS in the environment, else the CPUs that this process may run on
ATTEND_API int32_t num_threads();

//   errors   kInvalidArgument if count < 1
ATTEND_API void set_num_threads(int32_t count);

}  // namespace attend
