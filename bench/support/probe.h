#pragma once

// What one core can do, by loops that do nothing else: one file for each instruction set, compiled
// with its flags alone and called only on a CPU that has it. Nothing shared with other files is
// included by them: an inline function compiled there may be the copy that the linker keeps for
// everyone.
namespace attend::bench {

// Independent f32 multiply-adds in registers; the number of FLOP done (two for each).
using ComputeProbe = double (*)(long rounds);
// Sums `bytes` bytes at `data`, a multiple of 4096, as four streams a quarter apart; the bytes
// read.
using ReadProbe = double (*)(const char* data, long bytes);

namespace portable {
double f32_fma(long rounds);
double read(const char* data, long bytes);
}  // namespace portable
namespace avx2 {
double f32_fma(long rounds);
double read(const char* data, long bytes);
}  // namespace avx2
namespace avx512 {
double f32_fma(long rounds);
double read(const char* data, long bytes);
}  // namespace avx512
namespace avx512_bf16 {
double bf16_dot(long rounds);  // vdpbf16ps: two bf16 products and two sums a lane, four FLOP
}

}  // namespace attend::bench
