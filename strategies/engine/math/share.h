#pragma once
#include <algorithm>
#include <cstdint>

#include "attend/parallel.h"

namespace attend::engine {

// Below so many nanoseconds a call keeps to its own thread: waking another takes about 10 us.
inline constexpr double kWorthSharing = 40e3;

// Calls f(begin, end) for parts of [0, count) that together are all of it, on the library's threads
// where the whole takes long enough: `ns` is a guess at its time on one. At most four parts a
// thread, so that one that is held up does not hold up the call.
template <class F>
void share(int64_t count, double ns, F&& f) {
  const int64_t threads = ns < kWorthSharing ? 1 : num_threads();
  if (threads < 2 || count < 2) {
    if (count > 0) f(int64_t{0}, count);
    return;
  }
  const auto most = static_cast<int64_t>(ns / (kWorthSharing / 4));
  const int64_t parts = std::min({count, 4 * threads, std::max<int64_t>(most, 2)});
  parallel_for(parts,
               [&](int64_t part, int32_t) { f(count * part / parts, count * (part + 1) / parts); });
}

}  // namespace attend::engine
