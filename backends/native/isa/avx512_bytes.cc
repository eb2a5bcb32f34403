#define ATTEND_ISA avx512_bytes
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 12;  // as avx512
inline constexpr int kWordStep = 1;
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/tile-inl.h"
// Last, as it uses what the other defines.
#include "backends/native/isa/bytes-inl.h"

namespace attend::native {
extern const ByteOps kByteOps = {avx512_bytes::byte_scores, avx512_bytes::byte_accumulate};
}
