#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "attend/kernel.h"
#include "attend/ring.h"
#include "ops/common/layout.h"
#include "ops/ring/abort.h"
#include "ops/ring/ring_meeting.h"
#include "ops/ring/ring_schedule.h"

// How keys and values travel around a ring, on every backend: blocks, where their parts lie, and
// the order in which they come. How rows attend to a block, and in which memory blocks lie, is the
// backend's.
namespace attend {

// Keys and values of some rank: the call's own tensors, or a block that came in.
struct RingKeys {
  TensorView k, v, ids;            // ids are absent without segments
  std::vector<int64_t> first;      // by sequence: its first row, where k has no batch
  std::vector<RingChunks> chunks;  // by sequence: which of the whole sequence's keys these are
};

// One sequence as this rank sees it; the mask counts in original positions and whole lengths.
struct RingSequence {
  Sequence s;
  RingChunks rows;
};

// The rank's sequences. Index tensors are read: they are in native memory.
std::vector<RingSequence> ring_sequences(const AttentionArgs& a, const AttentionParams& p,
                                         const RingMeeting& meeting);
// Gives a sequence's mask whole lengths.
void set_whole_lengths(const AttentionParams& p, int64_t rows, int64_t keys, RowMask& mask);

// Where blocks are while they travel: two buffers in memory that the transport reaches. The rank's
// own block, packed, is in the first.
class RingBuffers {
 public:
  virtual ~RingBuffers() = default;

  std::byte* buffer[2] = {nullptr, nullptr};
  void* stream = nullptr;  // what the transport is told

  // What must be done before a block is received into buffer i, and once it is there.
  virtual Status before_receiving(int /*i*/) { return {}; }
  //   at   where the rows will find the block
  virtual Status received(int i, uint64_t /*bytes*/, std::byte** at) {
    *at = buffer[i];
    return {};
  }
};

// The block that this rank works on while it sends it and receives the next.
class RingBlocks {
 public:
  // Where the parts of a rank's block lie in its bytes: keys in use of all sequences, one after
  // another: k, then v unless it lies in k, then ids as i64.
  struct Parts {
    int64_t rows = 0;
    uint64_t v = 0, ids = 0, bytes = 0;
    bool v_in_k = false;
  };

  RingBlocks(const AttentionArgs& a, const AttentionParams& p, const RingMeeting& meeting,
             const std::vector<RingSequence>& sequences);
  // Ends an exchange that is under way, and the ring with it.
  ~RingBlocks();
  RingBlocks(const RingBlocks&) = delete;
  RingBlocks& operator=(const RingBlocks&) = delete;

  Parts parts_of(int32_t rank) const;
  uint64_t most_bytes() const;  // of any rank's block

  // The buffers must outlive the object.
  void travel_in(RingBuffers& buffers) { buffers_ = &buffers; }

  // This rank's own keys, where the caller has them.
  const RingKeys& own() const { return own_; }
  // Starts to send the block at hand and to receive the next; ends that.
  Status start(int32_t step);
  Status wait();
  // The block at hand, after wait().
  const RingKeys& at_hand() const { return at_hand_; }

  // Which keys of the whole sequences a rank has, by sequence.
  std::vector<RingChunks> chunks_of(int32_t rank) const;

 private:
  void place(int32_t rank, std::byte* data);

  const AttentionArgs& a_;
  const AttentionParams& p_;
  const RingMeeting& meeting_;
  RingTransport& ring_;
  const CallShape shape_;
  RingKeys own_, at_hand_;
  RingBuffers* buffers_ = nullptr;
  int current_ = 0;       // the buffer at hand
  int32_t arriving_ = 0;  // whose block arrives
  bool under_way_ = false;
};

// n steps: while attend(block) works on the block at hand, it travels on to the next rank and the
// one of the rank before arrives. A rank that fails aborts the ring, so that nobody waits for it.
template <class Attend>
Status ring_rounds(RingTransport& ring, RingBlocks& blocks, const Attend& attend) {
  const int32_t steps = ring.size();
  for (int32_t step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more)
      if (const Status s = blocks.start(step); !s) return s;
    if (const Status s = attend(step == 0 ? blocks.own() : blocks.at_hand()); !s) {
      abort_ring(ring, s);
      return s;
    }
    if (more)
      if (const Status s = blocks.wait(); !s) return s;
  }
  return {};
}

}  // namespace attend
