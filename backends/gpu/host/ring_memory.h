#pragma once
#include <optional>
#include <vector>

#include "backends/gpu/host/staging.h"
#include "ops/ring/ring_blocks.h"

// Where a ring's blocks are while they travel between devices.
//   direct   the transport reaches the device: two blocks there, and the call's stream orders all
//   staged   it reaches native memory: two blocks in pinned memory and one on the device. The rank's
//            own keys are waited for, as is, two steps later, the copy out of a buffer that is
//            received into again; the work on a block is not.
namespace attend::gpu {

class DeviceBuffers : public RingBuffers {
 public:
  DeviceBuffers(const RingTransport& ring, const ExecContext& context);

  uint64_t device_bytes(uint64_t block_bytes) const;
  // Packs the rank's own keys. `at` has device_bytes() bytes.
  Status pack(const AttentionArgs& a, const AttentionParams& p, const RingBlocks& blocks,
              const std::vector<RingSequence>& sequences, std::byte* at);

  Status before_receiving(int i) override;
  Status received(int i, uint64_t bytes, std::byte** at) override;

 private:
  const ExecContext& context_;
  const bool direct_;
  std::byte* on_device_ = nullptr;
  Staging staging_[2];
};

// Exchanges the words of all ranks, in native memory where the transport reaches it.
Status gather_words(RingTransport& ring, std::vector<int64_t>& all, int64_t words,
                    const ExecContext& context);

}  // namespace attend::gpu
