#pragma once
#include <immintrin.h>

#include <cstdint>

namespace attend::native::ATTEND_ISA {

// AMX instructions under the names that amx-inl.h uses: tile n is a template argument, as it is part
// of an instruction; strides count words.
struct AmxUnit {
  // Eight tiles of 16 rows x 64 bytes for as long as it lives. They are given back afterwards: a thread
  // that holds some is slower to switch, and another library may want tiles of other shapes.
  struct Use {
    Use() {
      alignas(64) struct {
        uint8_t palette = 1, start_row = 0, reserved[14] = {};
        uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
      } shapes;
      static_assert(sizeof shapes == 64);
      _tile_loadconfig(&shapes);
    }
    ~Use() { _tile_release(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
  };

  // Written out: the compiler's own are macros that put the number's name into the instruction.
  template <int n>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(n));
  }
  template <int n>
  static void load(const float* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride * 4), "i"(n) : "memory");
  }
  template <int n>
  static void store(float* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride * 4), "i"(n) : "memory");
  }
  // sums += left * right, pairs of bf16 at a time.
  template <int sums, int left, int right>
  static void dot() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(left), "i"(right));
  }
};

}  // namespace attend::native::ATTEND_ISA
