#define ATTEND_PROBE_ISA avx512
#define ATTEND_PROBE_BYTES 64
#include "bench/support/probe-inl.h"
