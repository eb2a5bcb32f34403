// The AMX row's arithmetic without AMX: the same templates over tiles in memory, compiled for AVX-512
// BF16, which its packing and softmax want anyway.
#define ATTEND_ISA amx_imitation
#include "backends/native/isa/vec_avx512.h"

namespace attend::native::ATTEND_ISA {
inline constexpr int kRowStep = 32;
inline constexpr int kWordStep = 16;

// Tiles as Intel's manual describes them, 16 rows x 64 bytes. Nothing is left in them between uses.
struct ImitatedUnit {
  static inline thread_local float tile[8][16][16];

  struct Use {
    Use() { poison(); }
    ~Use() { poison(); }
    static void poison() {
      for (auto& t : tile)
        for (auto& row : t)
          for (float& x : row) x = __builtin_nanf("");
    }
  };
  template <int n>
  static void zero() {
    for (auto& row : tile[n])
      for (float& x : row) x = 0.0f;
  }
  template <int n>
  static void load(const float* from, int64_t stride) {
    for (int r = 0; r < 16; ++r) __builtin_memcpy(tile[n][r], from + r * stride, 64);
  }
  template <int n>
  static void store(float* to, int64_t stride) {
    for (int r = 0; r < 16; ++r) __builtin_memcpy(to + r * stride, tile[n][r], 64);
  }
  static float half(float word, int which) {
    uint32_t bits;
    __builtin_memcpy(&bits, &word, 4);
    bits = which == 0 ? bits << 16 : bits & 0xffff0000u;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
  }
  template <int sums, int left, int right>
  static void dot() {
    for (int m = 0; m < 16; ++m)
      for (int k = 0; k < 16; ++k)
        for (int n = 0; n < 16; ++n)
          for (int i = 0; i < 2; ++i)
            tile[sums][m][n] += half(tile[left][m][k], i) * half(tile[right][k][n], i);
  }
};
}  // namespace attend::native::ATTEND_ISA
#include "backends/native/isa/bf16_words-inl.h"
#include "backends/native/isa/tile-inl.h"
// Last, as it uses what the others define.
#include "backends/native/isa/amx-inl.h"

namespace attend::native {
// Narrow rows refer to them; no cache of bytes is tried here.
const ByteOps kByteOps = {};
extern const TileOps kImitatedAmxOps;
const TileOps kImitatedAmxOps = amx_imitation::ops_with<amx_imitation::Bf16Words>(
    amx_imitation::scores_by_tiles<amx_imitation::ImitatedUnit, amx_imitation::Bf16Words>,
    amx_imitation::accumulate_by_tiles<amx_imitation::ImitatedUnit>, false);
}  // namespace attend::native
