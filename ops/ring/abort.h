#pragma once
#include <cstdio>
#include <exception>
#include <string>

#include "attend/ring.h"

namespace attend {

// Lets the other ranks go, with the words of the rank that failed.
inline void abort_ring(RingTransport& ring, const char* what) noexcept {
  char why[512];
  std::snprintf(why, sizeof why, "rank %d: %s", static_cast<int>(ring.rank()), what);
  ring.abort(why);
}
inline void abort_ring(RingTransport& ring, const Status& status) noexcept {
  try {
    abort_ring(ring, to_string(status).c_str());
  } catch (const std::exception&) {  // no memory for the words
    abort_ring(ring, status.message);
  }
}

}  // namespace attend
