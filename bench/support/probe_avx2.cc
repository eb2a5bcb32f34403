#define ATTEND_PROBE_ISA avx2
#define ATTEND_PROBE_BYTES 32
#include "bench/support/probe-inl.h"
