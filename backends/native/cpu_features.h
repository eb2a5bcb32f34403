#pragma once
#include "attend/error.h"

namespace attend::native {

// Instruction sets that have a row of their own, each including those before it.
enum class Isa : uint8_t { kPortable, kAvx2, kAvx512, kAvx512Bf16, kAmxBf16, kCount };

// "portable", "avx2", ...: as in kernel names and ATTEND_ISA.
const char* name(Isa isa);

// Whether rows of this instruction set may run: the CPU has it and ATTEND_ISA does not forbid it.
Status available(Isa isa);

// Whether bytes can be looked up in tables (AVX-512 VBMI), as rows in bf16 over caches of bytes do.
bool has_byte_lookup();

// Whether a bf16 dot product here does more than an f32 FMA in the same time. On Intel's cores
// without AMX in use it does half (measured on Emerald Rapids: 113 of 220 GFLOP/s a core), on AMD's
// since Zen 4 twice, so that bf16 is better widened to f32 on the one and not on the other.
bool bf16_dot_products_pay();

}  // namespace attend::native
