#pragma once
#include <cstdint>
#include <string>

#include "ops/checks.h"

// Parts of check_indices, which share their words.
namespace attend {

inline std::string at(const char* arg, int64_t i) {
  return std::string(arg) + "[" + std::to_string(i) + "]";
}
[[noreturn]] inline void out_of_range(const char* where, const std::string& what) {
  throw Error(ErrorCode::kOutOfRange, std::string(where) + ": " + what);
}

// Starts at 0, never decreases, ends within `total` rows; no sequence is over `max` (0 = not told).
void check_cumulative(const char* where, const char* arg, const TensorView& cu, int64_t total,
                      int64_t max);
// Lengths and live entries of page tables; rows of q have been checked.
void check_pages(const char* where, const AttentionArgs& a, const AttentionParams& p);
// Slots of rows that are stored: within the pages, each its own.
void check_slots(const char* where, const AttentionArgs& a);

}  // namespace attend
