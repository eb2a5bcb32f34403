#pragma once
#include "attend/error.h"

namespace attend::native {

// Instruction sets that have a row of their own, each including those before it.
enum class Isa : uint8_t { kPortable, kAvx2, kAvx512, kAvx512Bf16, kCount };

// "portable", "avx2", ...: as in kernel names and ATTEND_ISA.
const char* name(Isa isa);

// Whether rows of this instruction set may run: the CPU has it and ATTEND_ISA does not forbid it.
Status available(Isa isa);

}  // namespace attend::native
