#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "attend/kernel.h"
#include "attend/ring.h"
#include "backends/native/held_memory.h"
#include "backends/native/ring_rows.h"

// What the ranks of a ring tell one another: first what their calls are, then blocks of keys.
namespace attend::native {

// What every rank knows once all have met.
class RingMeeting {
 public:
  // Two rounds of n - 1 small exchanges. Calls that do not fit together fail on every rank.
  Status meet(const AttentionArgs& a, const AttentionParams& p);

  // Lengths of sequence b on all ranks.
  RingLengths queries(int64_t b) const { return lengths(b, 0); }
  RingLengths keys(int64_t b) const { return lengths(b, 2); }
  bool v_in_k(int32_t rank) const;

 private:
  static constexpr int64_t kWords = 4;  // of a sequence: rows held and used, keys held and used

  RingLengths lengths(int64_t b, int64_t word) const;
  Status check_headers() const;
  Status check_lengths(const AttentionParams& p) const;

  int32_t rank_ = 0, ranks_ = 1;
  int64_t batch_ = 0;
  RingPlacement placement_ = RingPlacement::kContiguous;
  std::vector<int64_t> headers_, lengths_;  // by rank
};

// The block that this rank works on while it sends it and receives the next.
class RingBlocks {
 public:
  RingBlocks(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context,
             const RingMeeting& meeting, const std::vector<RingSequence>& sequences);
  // Ends an exchange that is under way, and the ring with it.
  ~RingBlocks();
  RingBlocks(const RingBlocks&) = delete;
  RingBlocks& operator=(const RingBlocks&) = delete;

  // This rank's own keys, where the caller has them.
  const KeyBlock& own() const { return own_; }
  // Packs the own keys for the way.
  // False if there was no memory.
  bool pack();
  // Starts to send the block at hand and to receive the next; ends that.
  Status start(int32_t step);
  Status wait();
  // The block at hand, after wait().
  const KeyBlock& at_hand() const { return at_hand_; }

 private:
  // Where the parts of a rank's block lie in its bytes.
  struct Parts {
    int64_t rows = 0;
    uint64_t v = 0, ids = 0, bytes = 0;
    bool v_in_k = false;
  };
  Parts parts_of(int32_t rank) const;
  void place(int32_t rank);

  const AttentionArgs& a_;
  const AttentionParams& p_;
  const ExecContext& context_;
  const RingMeeting& meeting_;
  const std::vector<RingSequence>& sequences_;
  RingTransport& ring_;
  const CallShape shape_;
  KeyBlock own_, at_hand_;
  std::optional<HeldMemory> buffer_[2];
  int32_t current_ = 0, arriving_ = 0;  // buffer at hand; rank whose block arrives
  bool under_way_ = false;
};

}  // namespace attend::native
