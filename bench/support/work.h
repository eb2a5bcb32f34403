#pragma once
#include <cstdint>

#include "attend/attention_params.h"

namespace attend::bench {

// What a call asks for, whatever a kernel does to serve it.
struct Work {
  int64_t pairs = 0;  // (query row of a head, key) pairs that the mask lets through
  int64_t keys = 0;   // in use, of all sequences
  double flop = 0;    // 2 (head_dim + v_dim) a pair: the two products; softmax is not counted
  double bytes = 0;   // q, out and the keys in use of k and v once each; v inside k (MLA) is not
                      // counted again
};

Work work_of(const AttentionArgs& args, const AttentionParams& params);

}  // namespace attend::bench
