#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attend/operator.h"
#include "attend/ring.h"

// One call cut over the ranks of a ring, and its results put together again. The cut is written
// here anew: nothing of ops/ring is used but the transport.
namespace attend::testing {

struct Placing {
  int32_t ranks = 1;
  RingPlacement placement = RingPlacement::kContiguous;
  // Contiguous: how many of 16 equal parts of each sequence the ranks hold, in order; empty = even.
  std::vector<int> shares;
  DeviceType device = DeviceType::kNative;  // where every rank makes its call
};
std::string name(const Placing& p);

// What one rank's call came to.
struct RankResult {
  ErrorCode code = ErrorCode::kOk;
  std::string what, kernel;
};

class Ranks {
 public:
  // The call's memory must outlive the object. keys_shares: shares of k, where they differ from q's.
  Ranks(const AttentionArgs& whole, const AttentionParams& params, const Placing& placing,
        const std::vector<int>& keys_shares = {});
  ~Ranks();

  InProcessRing& ring();
  AttentionArgs& args(int32_t rank);
  AttentionParams& params(int32_t rank);
  ExecContext& context(int32_t rank);

  // Every rank makes its call in a thread of its own, or what `instead` does for it (true = done).
  std::vector<RankResult> run(const std::function<bool(int32_t rank)>& instead = {},
                              const std::string& kernel = "");

  // Puts out and lse together in the tensors of the whole call. Rows not in use must be as they
  // were: empty, or which is not.
  std::string gather();
  bool untouched(int32_t rank) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attend::testing
