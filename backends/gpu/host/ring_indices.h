#pragma once
#include <cstddef>
#include <vector>

#include "attend/kernel.h"

namespace attend::gpu {

// A call whose index vectors lie in native memory, so that the host can lay out what it launches:
// the lengths of ragged calls and of rows in use, and words that hold a position a sequence. All
// other tensors stay where they are.
class RingIndices {
 public:
  AttentionArgs args;
  AttentionParams params;

  RingIndices(const AttentionArgs& a, const AttentionParams& p) : args(a), params(p) {}
  RingIndices(const RingIndices&) = delete;
  RingIndices& operator=(const RingIndices&) = delete;

  // Checks them on the device, where the context asks for it, and brings them: one synchronisation
  // of the stream, none if the call has no such vector.
  //   errors   kOutOfRange: the error word says what is wrong
  Status bring(const ExecContext& context);

 private:
  std::vector<std::vector<std::byte>> kept_;
};

}  // namespace attend::gpu
