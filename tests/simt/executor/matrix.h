#pragma once
// attend::gpu::unit and attend::gpu::Matrix for execution on the host: the policy of the hardware
// that thread.h was told of, over its matrix instructions, emulated.
#if defined(ATTEND_SIMT_CDNA)
#include "tests/simt/executor/matrix_cdna.h"
// After the instructions that it is made of:
#include "backends/rocm/matrix_cdna.h"
#elif defined(ATTEND_SIMT_RDNA)
#include "tests/simt/executor/matrix_rdna.h"
// Likewise:
#include "backends/rocm/matrix_rdna.h"
#else
#include "tests/simt/executor/matrix_nv.h"
// Likewise:
#include "backends/cuda/matrix.h"
#endif
