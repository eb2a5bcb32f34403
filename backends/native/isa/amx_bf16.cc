#define ATTEND_ISA amx_bf16
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 32;   // two tiles of 16 rows
inline constexpr int kWordStep = 16;  // of the head's words, as a tile holds them
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/amx_unit.h"
#include "backends/native/isa/bf16_words-inl.h"
#include "backends/native/isa/tile-inl.h"
// Last, as it uses what the others define.
#include "backends/native/isa/amx-inl.h"

namespace attend::native {
extern const TileOps kAmxBf16Ops = amx_bf16::ops_with<amx_bf16::Bf16Words>(
    amx_bf16::scores_by_tiles<amx_bf16::AmxUnit, amx_bf16::Bf16Words>,
    amx_bf16::accumulate_by_tiles<amx_bf16::AmxUnit>, false);
}
