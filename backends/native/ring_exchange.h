#pragma once
#include <optional>

#include "attend/kernel.h"
#include "backends/native/held_memory.h"
#include "ops/ring/ring_blocks.h"

// Where a ring's blocks are while they travel between ranks on native.
namespace attend::native {

class HeldBuffers : public RingBuffers {
 public:
  // Room for a block of any rank, twice, and the rank's own keys, packed for the way.
  // False if there was no memory.
  bool pack(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context,
            const RingBlocks& blocks, const std::vector<RingSequence>& sequences);

 private:
  std::optional<HeldMemory> held_[2];
};

}  // namespace attend::native
