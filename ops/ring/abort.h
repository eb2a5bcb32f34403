#pragma once
#include <cstdio>

#include "attend/ring.h"

namespace attend {

// Lets the other ranks go, with the words of the rank that failed.
inline void abort_ring(RingTransport& ring, const char* what) noexcept {
  char why[512];
  std::snprintf(why, sizeof why, "rank %d: %s", static_cast<int>(ring.rank()), what);
  ring.abort(why);
}

}  // namespace attend
