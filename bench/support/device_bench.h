#pragma once
#include <vector>

#include "attend/kernel.h"
#include "tests/support/cases.h"

namespace attend::bench {

// Registers the rows of an operator on the devices of this machine, on cases that live as long as
// the process: "flash/cuda/matrix/prefill512_..._bf16/threads:1". A call is judged against the
// float64 oracle before it is timed. A sample is the wall time of a batch of calls and of waiting
// for the last of them, with keys that rotate beyond the device's cache. A stand-in for a driver is
// never timed unless ATTEND_TEST_DEVICES names its backend.
void register_on_devices(OpId op, const std::vector<testing::AttentionCase>& cases);

}  // namespace attend::bench
