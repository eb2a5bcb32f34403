#pragma once
#include <cstdint>

#include "ops/common/mask.h"

// Contract 7: keys of long, narrow calls (decode) are cut so that several threads share one
// sequence. Where they are cut depends on nothing but positions, so that a sequence's bits do not
// depend on its batch, on the number of threads or on the operator through which it came.
namespace attend {

inline constexpr int64_t kSplitKeys = 1024;  // parts begin at multiples of it
inline constexpr int64_t kSplitRows = 32;    // stacked rows; more rows fill threads by themselves

struct SplitPlan {
  int64_t first = 0,
          end = 0;  // parts [first, end): part n has keys [n * quantum, (n + 1) * quantum)
  int64_t quantum = 0;

  ATTEND_HD int64_t count() const { return end - first; }
  ATTEND_HD KeyRange part(int64_t n, KeyRange keys) const {
    if (n * quantum > keys.begin) keys.begin = n * quantum;
    if (n + 1 < end) keys.end = (n + 1) * quantum;
    return keys;
  }
};

// Visible keys cut at multiples of a quantum.
ATTEND_HD SplitPlan cut_keys(KeyRange keys, int64_t quantum) {
  return {keys.begin / quantum, (keys.end - 1) / quantum + 1, quantum};
}

// How the visible keys of a sequence with this many stacked rows are cut.
ATTEND_HD SplitPlan split_plan(int64_t stacked_rows, KeyRange keys) {
  if (stacked_rows > kSplitRows || keys.begin >= keys.end) return {0, 1, INT64_MAX / 4};
  return cut_keys(keys, kSplitKeys);
}

}  // namespace attend
