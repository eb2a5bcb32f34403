#pragma once
#include <cstdint>

#include "ops/common/portable.h"

namespace attend {

// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (2011).
struct Philox4x32 {
  uint32_t word[4];
};

ATTEND_HD Philox4x32 philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c0, b = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(b);
    c3 = static_cast<uint32_t>(a);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Contract 2, step 6: every device draws the same mask. i, j and b are sequence-local.
struct Dropout {
  uint64_t seed = 0;
  uint32_t offset = 0;
  uint64_t threshold = 0;   // floor(p * 2^32): a word below it is dropped
  float keep_scale = 1.0f;  // 1 / (1 - p)

  ATTEND_HD Philox4x32 words(int64_t head, int64_t i, int64_t j) const {  // head = b * heads + h
    return philox4x32(static_cast<uint32_t>(j / 4), static_cast<uint32_t>(i),
                      static_cast<uint32_t>(head), offset, seed);
  }
  // By selection: a variable index would put the words into a device's local memory.
  ATTEND_HD bool keeps(const Philox4x32& words, int64_t j) const {
    const uint32_t* w = words.word;
    const uint32_t low = j % 2 == 0 ? w[0] : w[1], high = j % 2 == 0 ? w[2] : w[3];
    return (j % 4 < 2 ? low : high) >= threshold;
  }
};

}  // namespace attend
