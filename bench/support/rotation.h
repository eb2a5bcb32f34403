#pragma once
#include <vector>

#include "attend/tensor.h"
#include "bench/support/work.h"

namespace attend::bench {

// Copies of K and V that a case is measured with. One for most. Memory-bound calls are measured
// with K and V coming from memory, as the layers of a model bring them: enough copies to exceed the
// last level of cache (bytes_beyond_cache()), at least two. Memory-bound: fewer than 12 FLOP a byte
// (machines of today balance at 6 to 30; a decode call on one-byte caches has 8) and more than 1 MiB of K and V, below which a call's own
// cost is what is measured.
int64_t copies_to_rotate(const AttentionArgs& args, const Work& work);

// A call's K and V and further copies of them, taken in turn.
class Rotation {
 public:
  Rotation(const AttentionArgs& args, int64_t copies);
  const AttentionArgs& next();

 private:
  std::vector<Tensor> owned_;
  std::vector<AttentionArgs> args_;
  size_t at_ = 0;
};

}  // namespace attend::bench
