#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "attend/kernel.h"
#include "attend/ring.h"
#include "ops/ring/ring_schedule.h"

// What the ranks of a ring tell one another before any key travels: what their calls are.
namespace attend {

// `all` holds `bytes` bytes a rank, in memory that the transport reaches; this rank's are there.
// Afterwards all ranks' are: n - 1 exchanges.
Status ring_gather(RingTransport& ring, std::byte* all, uint64_t bytes, void* stream);

// The same of words in native memory, however they travel.
using RingGather = std::function<Status(std::vector<int64_t>& all, int64_t words)>;

// What every rank knows once all have met. Index tensors of the call are read: they are in native
// memory, whatever memory the rows are in.
class RingMeeting {
 public:
  // Two rounds of n - 1 small exchanges. Calls that do not fit together fail on every rank.
  Status meet(const AttentionArgs& a, const AttentionParams& p, const RingGather& gather);

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

}  // namespace attend
