// The one symbol that a library of kernels exports.
#include "tests/simt/executor/launch.h"
#include "tests/simt/executor/thread.h"

extern "C" __attribute__((visibility("default")))
const attend::simt::KernelLibrary attend_simt_library;
const attend::simt::KernelLibrary attend_simt_library = {
    attend::gpu::Thread::kWarp, &attend::simt::first_kernel, &attend::simt::find_kernel,
    &attend::simt::execute};
