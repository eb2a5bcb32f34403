#include "ops/ring/ring_meeting.h"

#include <algorithm>

#include "ops/common/layout.h"

namespace attend {
namespace {

// A rank's first words, in this order; the format's number changes with it.
constexpr int64_t kFormat = 1;
enum Header : int64_t {
  kHeaderFormat,
  kHeaderPlacement,
  kHeaderBatch,
  kHeaderHeads,
  kHeaderKvHeads,
  kHeaderHeadDim,
  kHeaderVDim,
  kHeaderDtype,
  kHeaderSegments,
  kHeaderVInK,  // a rank's own business: whether v is sent within k
  kHeaderWords
};
// What must agree, in words; {} becomes the other rank.
constexpr const char* kDisagreements[kHeaderVInK] = {
    "another version of attend runs on rank {}, expected the same on all ranks",
    "ring_placement is another on rank {}, expected the same on all ranks",
    "batch is another on rank {}, expected the same on all ranks",
    "q heads is another on rank {}, expected the same on all ranks",
    "kv_heads is another on rank {}, expected the same on all ranks",
    "head_dim is another on rank {}, expected the same on all ranks",
    "v_dim is another on rank {}, expected the same on all ranks",
    "q dtype is another on rank {}, expected the same on all ranks",
    "segment ids are given on one of this rank and rank {}, expected them on all ranks or none"};

// The longest whole sequence: what a full key dimension of keep and bias has.
Status check_keys_of(const TensorView& t, int64_t longest, const char* message) {
  if (t.rank == 0 || t.dim(-1) == 1 || t.dim(-1) == longest) return {};
  return {ErrorCode::kInvalidArgument, message, longest};
}

}  // namespace

Status ring_gather(RingTransport& ring, std::byte* all, uint64_t bytes, void* stream) {
  const int32_t rank = ring.rank(), ranks = ring.size();
  const auto at = [&](int32_t of) { return all + static_cast<uint64_t>(of) * bytes; };
  for (int32_t step = 0; step + 1 < ranks; ++step) {
    if (const Status s = ring.start(at(ring_source(rank, step, ranks)), bytes,
                                    at(ring_source(rank, step + 1, ranks)), bytes, stream);
        !s)
      return s;
    if (const Status s = ring.wait(stream); !s) return s;
  }
  return {};
}

Status RingMeeting::meet(const AttentionArgs& a, const AttentionParams& p,
                         const RingGather& gather) {
  const RingTransport& ring = *p.ring_transport;
  rank_ = ring.rank();
  ranks_ = ring.size();
  placement_ = p.ring_placement;
  const CallShape shape = call_shape(a);
  batch_ = shape.batch;
  headers_.resize(static_cast<size_t>(ranks_ * kHeaderWords));
  int64_t* own = headers_.data() + rank_ * kHeaderWords;
  own[kHeaderFormat] = kFormat;
  own[kHeaderPlacement] = static_cast<int64_t>(placement_);
  own[kHeaderBatch] = batch_;
  own[kHeaderHeads] = shape.heads;
  own[kHeaderKvHeads] = shape.kv_heads;
  own[kHeaderHeadDim] = shape.head_dim;
  own[kHeaderVDim] = shape.v_dim;
  own[kHeaderDtype] = static_cast<int64_t>(a.q.dtype);
  own[kHeaderSegments] = p.mask.q_segment_ids ? 1 : 0;
  own[kHeaderVInK] = is_prefix(a.v, a.k) ? 1 : 0;
  if (const Status s = gather(headers_, kHeaderWords); !s) return s;
  if (const Status s = check_headers(); !s) return s;

  const int64_t words = batch_ * kWords;
  lengths_.resize(static_cast<size_t>(ranks_ * words));
  int64_t* at = lengths_.data() + rank_ * words;
  for (int64_t b = 0; b < batch_; ++b) {
    const Sequence s = sequence(a, p, b);
    const auto held = [&](const TensorView& cu, const TensorView& dense) {
      return cu ? index_at(cu, b + 1) - index_at(cu, b) : dense.dim(1);
    };
    *at++ = held(a.seq.cu_seqlens_q, a.q);
    *at++ = s.q_len;
    *at++ = held(a.seq.cu_seqlens_k, a.k);
    *at++ = s.k_len;
  }
  if (batch_ > 0)
    if (const Status s = gather(lengths_, words); !s) return s;
  return check_lengths(p);
}

Status RingMeeting::check_headers() const {
  const int64_t* own = headers_.data() + rank_ * kHeaderWords;
  for (int64_t rank = 0; rank < ranks_; ++rank)
    for (int64_t word = 0; word < kHeaderVInK; ++word)
      if (headers_[static_cast<size_t>(rank * kHeaderWords + word)] != own[word])
        return {ErrorCode::kInvalidArgument, kDisagreements[word], rank};
  return {};
}

Status RingMeeting::check_lengths(const AttentionParams& p) const {
  int64_t longest = 0;
  for (int64_t b = 0; b < batch_; ++b) {
    longest = std::max(longest, keys(b).all_held());
    for (const bool is_q : {true, false}) {
      const RingMisfit misfit = ring_misfit(placement_, is_q ? queries(b) : keys(b));
      if (misfit.rank < 0) continue;
      if (misfit.held != misfit.want_held)
        return {ErrorCode::kInvalidArgument,
                is_q ? "rows of q on rank {} are not those of its two chunks, expected ring_cut's"
                     : "rows of k on rank {} are not those of its two chunks, expected ring_cut's",
                misfit.rank};
      return {ErrorCode::kInvalidArgument,
              is_q ? "seqused_q on rank {} is not the rows of a whole sequence's first ones, "
                     "expected those in use to come before all others"
                   : "seqused_k on rank {} is not the keys of a whole sequence's first ones, "
                     "expected those in use to come before all others",
              misfit.rank};
    }
  }
  if (const Status s = check_keys_of(
          p.mask.keep, longest,
          "keep's last dim is neither 1 nor {}, expected the keys of the longest whole sequence");
      !s)
    return s;
  return check_keys_of(
      p.bias, longest,
      "bias's last dim is neither 1 nor {}, expected the keys of the longest whole sequence");
}

RingLengths RingMeeting::lengths(int64_t b, int64_t word) const {
  const int64_t* at = lengths_.data() + b * kWords + word;
  return {at, at + 1, batch_ * kWords, ranks_};
}

bool RingMeeting::v_in_k(int32_t rank) const {
  return headers_[static_cast<size_t>(rank * kHeaderWords + kHeaderVInK)] != 0;
}

}  // namespace attend
