#include "attend/ring.h"

#include <string>

#include "attend/operator.h"
#include "ops/checks.h"
#include "ops/ring/abort.h"
#include "ops/ring/ring_schedule.h"

namespace attend {
namespace {

void check_placement(const AttentionArgs& a, const AttentionParams& p) {
  if (p.ring_placement != RingPlacement::kContiguous && p.ring_placement != RingPlacement::kZigzag)
    throw_invalid("ring", "ring_placement is " +
                              std::to_string(static_cast<int>(p.ring_placement)) +
                              ", expected contiguous or zigzag");
  const RingTransport* const ring = p.ring_transport;
  if (ring == nullptr) {
    if (p.ring_placement == RingPlacement::kZigzag)
      throw_invalid("ring",
                    "ring_placement is zigzag and ring_transport is absent, expected it only with "
                    "ranks to place rows on; one process holds all rows in their order");
    return;
  }
  if (ring->size() < 1 || ring->rank() < 0 || ring->rank() >= ring->size())
    throw_invalid("ring", "ring_transport rank is " + std::to_string(ring->rank()) + " of " +
                              std::to_string(ring->size()) + ", expected 0 to size - 1");
  // Blocks of other devices may pass through native memory.
  if (!a.q || ring->reaches(a.q.device.type) || ring->reaches(DeviceType::kNative)) return;
  const std::string device = name(a.q.device.type);
  if (a.q.device.type == DeviceType::kNative)
    throw_unsupported("ring", "ring_transport does not reach the memory of " + device +
                                  ", expected one that does; use a transport of that device");
  throw_unsupported("ring", "ring_transport reaches neither the memory of " + device +
                                " nor native memory, expected one of them; use a transport of "
                                "that device");
}

// How many keys the whole sequences have is known once the ranks have met: until then, of a ring's
// keep and bias only the other dimensions can be checked.
TensorView without_keys(TensorView t) {
  if (t.rank > 0) t.shape[static_cast<size_t>(t.rank - 1)] = 1;
  return t;
}

}  // namespace

std::array<RingSpan, 2> ring_cut(RingPlacement placement, int64_t length, int32_t rank,
                                 int32_t ranks) {
  if (length < 0)
    throw_invalid("ring_cut", "length is " + std::to_string(length) + ", expected 0 or more");
  if (ranks < 1)
    throw_invalid("ring_cut", "ranks is " + std::to_string(ranks) + ", expected 1 or more");
  if (rank < 0 || rank >= ranks)
    throw_invalid("ring_cut", "rank is " + std::to_string(rank) + ", expected 0 to " +
                                  std::to_string(ranks - 1));
  return ring_spans(placement, length, rank, ranks);
}

void RingAttention::check(const AttentionArgs& a, const AttentionParams& p) const {
  refuse_words_of_others("ring", a, p, {"ring_transport"});
  check_placement(a, p);
  AttentionParams own = p;
  if (p.ring_transport != nullptr) {
    own.mask.keep = without_keys(p.mask.keep);
    own.bias = without_keys(p.bias);
  }
  check_shapes("ring", a, own);
  check_dims("ring", a, true);
  own.dropout_p = 0.0f;  // which ring has, unlike the other operators without whole score rows
  refuse_materialised("ring", a, own);
}

void RingAttention::failed(const AttentionParams& p, const char* what) const noexcept {
  if (p.ring_transport != nullptr) abort_ring(*p.ring_transport, what);
}

}  // namespace attend
