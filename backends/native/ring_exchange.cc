#include "backends/native/ring_exchange.h"

#include <algorithm>
#include <cstring>

#include "ops/ring/abort.h"

namespace attend::native {
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

// all holds `words` words a rank; this rank's are there. Afterwards all ranks' are.
Status gather(RingTransport& ring, std::vector<int64_t>& all, int64_t words) {
  const int32_t rank = ring.rank(), ranks = ring.size();
  const auto bytes = static_cast<uint64_t>(words) * sizeof(int64_t);
  for (int32_t step = 0; step + 1 < ranks; ++step) {
    const int64_t* send = all.data() + ring_source(rank, step, ranks) * words;
    int64_t* receive = all.data() + ring_source(rank, step + 1, ranks) * words;
    if (const Status s = ring.start(send, bytes, receive, bytes, nullptr); !s) return s;
    if (const Status s = ring.wait(nullptr); !s) return s;
  }
  return {};
}

// The longest whole sequence: what a full key dimension of keep and bias has.
Status check_keys_of(const TensorView& t, int64_t longest, const char* message) {
  if (t.rank == 0 || t.dim(-1) == 1 || t.dim(-1) == longest) return {};
  return {ErrorCode::kInvalidArgument, message, longest};
}

// Copies rows [0, count) of all heads, side by side.
std::byte* pack_rows(const RowsView& from, int64_t count, int64_t heads, int64_t dims,
                     std::byte* to) {
  const int64_t size = size_bytes(from.dtype);
  const auto row_bytes = static_cast<size_t>(dims * size);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t h = 0; h < heads; ++h) {
      const std::byte* row = from.at(i, h);
      if (from.dim == 1)
        std::memcpy(to, row, row_bytes);
      else
        for (int64_t d = 0; d < dims; ++d)
          std::memcpy(to + d * size, row + d * from.dim * size, static_cast<size_t>(size));
      to += row_bytes;
    }
  return to;
}

uint64_t round_up_64(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

Status RingMeeting::meet(const AttentionArgs& a, const AttentionParams& p) {
  RingTransport& ring = *p.ring_transport;
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
  if (const Status s = gather(ring, headers_, kHeaderWords); !s) return s;
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
    if (const Status s = gather(ring, lengths_, words); !s) return s;
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

RingBlocks::RingBlocks(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context,
                       const RingMeeting& meeting, const std::vector<RingSequence>& sequences)
    : a_(a),
      p_(p),
      context_(context),
      meeting_(meeting),
      sequences_(sequences),
      ring_(*p.ring_transport),
      shape_(call_shape(a)) {
  own_.k = a.k;
  own_.v = a.v;
  own_.ids = p.mask.kv_segment_ids;
  for (const RingSequence& sequence : sequences) {
    own_.first.push_back(sequence.s.k_first);
    own_.chunks.push_back(ring_chunks(p.ring_placement, meeting.keys(sequence.s.b), ring_.rank()));
  }
}

// Keys in use of all sequences, one after another: k, then v unless it lies in k, then ids as i64.
RingBlocks::Parts RingBlocks::parts_of(int32_t rank) const {
  Parts parts;
  for (int64_t b = 0; b < shape_.batch; ++b) parts.rows += meeting_.keys(b).used_by(rank);
  parts.v_in_k = meeting_.v_in_k(rank);
  const auto part = [&](int64_t bytes_a_row) {
    return round_up_64(static_cast<uint64_t>(parts.rows * bytes_a_row));
  };
  const int64_t element_bytes = size_bytes(a_.k.dtype) * shape_.kv_heads;
  parts.v = parts.v_in_k ? 0 : part(shape_.head_dim * element_bytes);
  parts.ids = part(shape_.head_dim * element_bytes) +
              (parts.v_in_k ? 0 : part(shape_.v_dim * element_bytes));
  parts.bytes = parts.ids + (p_.mask.kv_segment_ids ? part(sizeof(int64_t)) : 0);
  return parts;
}

bool RingBlocks::pack() {
  uint64_t most = 0;
  for (int32_t rank = 0; rank < ring_.size(); ++rank) most = std::max(most, parts_of(rank).bytes);
  for (auto& buffer : buffer_)
    if (buffer.emplace(context_, most).data() == nullptr) return false;
  const Parts parts = parts_of(ring_.rank());
  std::byte *k = buffer_[0]->data(), *v = k + parts.v, *ids = k + parts.ids;
  for (const RingSequence& sequence : sequences_) {
    const Sequence& s = sequence.s;
    k = pack_rows(rows_of(a_.k, s.b, s.k_first), s.k_len, shape_.kv_heads, shape_.head_dim, k);
    if (!parts.v_in_k)
      v = pack_rows(rows_of(a_.v, s.b, s.k_first), s.k_len, shape_.kv_heads, shape_.v_dim, v);
    if (!p_.mask.kv_segment_ids) continue;
    const IndexVector own_ids = ids_of(p_.mask.kv_segment_ids, s.b, s.k_first);
    for (int64_t j = 0; j < s.k_len; ++j, ids += sizeof(int64_t)) {
      const int64_t id = index_at(own_ids, j);
      std::memcpy(ids, &id, sizeof id);
    }
  }
  return true;
}

RingBlocks::~RingBlocks() {
  if (!under_way_) return;
  abort_ring(ring_, "its call has failed");  // else it would have come to wait()
  static_cast<void>(ring_.wait(context_.stream));
}

Status RingBlocks::start(int32_t step) {
  const int32_t rank = ring_.rank(), ranks = ring_.size();
  arriving_ = ring_source(rank, step + 1, ranks);
  const Status s =
      ring_.start(buffer_[current_]->data(), parts_of(ring_source(rank, step, ranks)).bytes,
                  buffer_[1 - current_]->data(), parts_of(arriving_).bytes, context_.stream);
  under_way_ = static_cast<bool>(s);
  return s;
}

Status RingBlocks::wait() {
  under_way_ = false;
  if (const Status s = ring_.wait(context_.stream); !s) return s;
  current_ = 1 - current_;
  place(arriving_);
  return {};
}

void RingBlocks::place(int32_t rank) {
  const Parts parts = parts_of(rank);
  std::byte* data = buffer_[current_]->data();
  at_hand_.k = contiguous(data, a_.k.dtype, {parts.rows, shape_.kv_heads, shape_.head_dim});
  at_hand_.v = contiguous(data + parts.v, a_.v.dtype, {parts.rows, shape_.kv_heads, shape_.v_dim});
  if (parts.v_in_k) at_hand_.v.stride = at_hand_.k.stride;
  if (p_.mask.kv_segment_ids)
    at_hand_.ids = contiguous(data + parts.ids, DType::kI64, {parts.rows});
  at_hand_.first.clear();
  at_hand_.chunks.clear();
  int64_t first = 0;
  for (int64_t b = 0; b < shape_.batch; ++b) {
    const RingLengths lengths = meeting_.keys(b);
    at_hand_.first.push_back(first);
    first += lengths.used_by(rank);
    // Only rows in use have come, the second chunk's right behind the first's: it has some only
    // where all of the first are in use.
    at_hand_.chunks.push_back(ring_chunks(p_.ring_placement, lengths, rank));
  }
}

}  // namespace attend::native
