#pragma once
#include <cstdint>
#include <string>

// Repeatable random values: equal words and seeds give equal bits on every machine.
namespace attend::testing {

inline uint64_t hash(uint64_t a, uint64_t b) {  // splitmix64 of the two
  uint64_t z = a * 0xD1B54A32D192ED03 + b + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

inline uint64_t hash_of(const std::string& text, uint64_t seed) {
  for (char letter : text) seed = hash(seed, static_cast<uint8_t>(letter));
  return seed;
}

// Mean 0, variance 1, bell-shaped: the sum of four uniform values.
inline float normal(uint64_t bits) {
  const auto sum = static_cast<int32_t>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                        (bits >> 32 & 0xffff) + (bits >> 48));
  return static_cast<float>(sum - 2 * 65535) * (1.7320508f / 65536);
}

}  // namespace attend::testing
