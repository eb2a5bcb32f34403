#include "backends/native/cpu_features.h"

#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace attend::native {
namespace {

#if defined(__x86_64__)
bool cpu_has_f16c() {  // a word that __builtin_cpu_supports of older compilers does not know
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// Tiles and their bf16 products, and Linux's leave to use tiles, which a process must ask for.
bool machine_has_amx() {
#if defined(__linux__)
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  constexpr long kAskForLeave = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0 &&
         (d & kAmxTile) != 0 && syscall(SYS_arch_prctl, kAskForLeave, kTileData) == 0;
#else
  return false;
#endif
}
#endif

bool cpu_has(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && cpu_has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::kPortable: return true;
    case Isa::kAvx2: return avx2;
    case Isa::kAvx512: return avx512;
    case Isa::kAvx512Bf16: return avx512 && __builtin_cpu_supports("avx512bf16");
    case Isa::kAmxBf16: return avx512 && __builtin_cpu_supports("avx512bf16") && machine_has_amx();
    case Isa::kCount: break;
  }
  return false;
#else
  return isa == Isa::kPortable;
#endif
}

enum class Verdict : uint8_t { kYes, kCpuLacks, kForbidden, kUnknownWord };

struct Verdicts {
  Verdict of[static_cast<int>(Isa::kCount)];
};

// ATTEND_ISA is read once: a row that was chosen stays the choice of the process.
Verdicts ask_machine() {
  const char* variable = std::getenv("ATTEND_ISA");
  const std::string_view word = variable != nullptr ? variable : "";
  int ceiling = word.empty() ? static_cast<int>(Isa::kCount) - 1 : -1;
  for (int i = 0; i < static_cast<int>(Isa::kCount); ++i)
    if (word == name(static_cast<Isa>(i))) ceiling = i;
  if (word == "baseline") ceiling = 0;
  Verdicts v{};
  for (int i = 0; i < static_cast<int>(Isa::kCount); ++i)
    v.of[i] = ceiling < 0                     ? Verdict::kUnknownWord
              : !cpu_has(static_cast<Isa>(i)) ? Verdict::kCpuLacks
              : i > ceiling                   ? Verdict::kForbidden
                                              : Verdict::kYes;
  return v;
}

const char* missing(Isa isa) {
  switch (isa) {
    case Isa::kAvx2: return "this CPU lacks AVX2, FMA or F16C";
    case Isa::kAvx512: return "this CPU lacks AVX-512 F, BW, DQ or VL";
    case Isa::kAvx512Bf16: return "this CPU lacks AVX-512 BF16";
    case Isa::kAmxBf16: return "this CPU lacks AMX-BF16, or the system gives no leave to use it";
    default: return "this CPU is of another architecture";
  }
}

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
    case Isa::kPortable: return "portable";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx512Bf16: return "avx512_bf16";
    case Isa::kAmxBf16: return "amx_bf16";
    case Isa::kCount: break;
  }
  return "unknown";
}

Status available(Isa isa) {
  static const Verdicts verdicts = ask_machine();
  switch (verdicts.of[static_cast<int>(isa)]) {
    case Verdict::kYes: return {};
    case Verdict::kCpuLacks: return {ErrorCode::kUnsupported, missing(isa), 0};
    case Verdict::kForbidden:
      return {ErrorCode::kUnsupported, "ATTEND_ISA in the environment names a lower level", 0};
    case Verdict::kUnknownWord: break;
  }
  return {ErrorCode::kInvalidArgument,
          "ATTEND_ISA is an unknown word, expected baseline, portable, avx2, avx512, "
          "avx512_bf16 or amx_bf16, or unset",
          0};
}

bool has_byte_lookup() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
}

bool bf16_dot_products_pay() {
#if defined(__x86_64__)
  return !__builtin_cpu_is("intel");
#else
  return false;
#endif
}

}  // namespace attend::native
