#define ATTEND_PROBE_ISA portable
#define ATTEND_PROBE_BYTES 16
#include "bench/support/probe-inl.h"
