#include "ops/ring/ring_blocks.h"

#include <algorithm>

namespace attend {
namespace {

uint64_t round_up_64(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

// [rows, heads, dims] or, without heads, [rows], side by side, where the call's tensor `like` is.
TensorView packed(std::byte* data, DType dtype, const TensorView& like, int64_t rows, int64_t heads,
                  int64_t dims) {
  TensorView t;
  t.data = data;
  t.dtype = dtype;
  t.device = like.device;
  t.rank = heads > 0 ? 3 : 1;
  t.shape = {rows, heads, dims};
  t.stride = {heads > 0 ? heads * dims : 1, dims, 1};
  return t;
}

}  // namespace

void set_whole_lengths(const AttentionParams& p, int64_t rows, int64_t keys, RowMask& mask) {
  mask.seqlen_k = keys;
  if (!p.mask.q_start) mask.d = p.mask.diagonal == Diagonal::kTopLeft ? 0 : keys - rows;
}

std::vector<RingSequence> ring_sequences(const AttentionArgs& a, const AttentionParams& p,
                                         const RingMeeting& meeting) {
  std::vector<RingSequence> sequences;
  const int64_t batch = call_shape(a).batch;
  for (int64_t b = 0; b < batch; ++b) {
    const RingLengths rows = meeting.queries(b);
    RingSequence sequence{attend::sequence(a, p, b), {}};
    sequence.rows = ring_chunks(p.ring_placement, rows, p.ring_transport->rank());
    set_whole_lengths(p, rows.all_used(), meeting.keys(b).all_used(), sequence.s.mask);
    sequences.push_back(sequence);
  }
  return sequences;
}

RingBlocks::RingBlocks(const AttentionArgs& a, const AttentionParams& p, const RingMeeting& meeting,
                       const std::vector<RingSequence>& sequences)
    : a_(a), p_(p), meeting_(meeting), ring_(*p.ring_transport), shape_(call_shape(a)) {
  own_.k = a.k;
  own_.v = a.v;
  own_.ids = p.mask.kv_segment_ids;
  for (const RingSequence& sequence : sequences) own_.first.push_back(sequence.s.k_first);
  own_.chunks = chunks_of(ring_.rank());
}

RingBlocks::~RingBlocks() {
  if (!under_way_) return;
  abort_ring(ring_, "its call has failed");  // else it would have come to wait()
  static_cast<void>(ring_.wait(buffers_->stream));
}

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

uint64_t RingBlocks::most_bytes() const {
  uint64_t most = 0;
  for (int32_t rank = 0; rank < ring_.size(); ++rank) most = std::max(most, parts_of(rank).bytes);
  return most;
}

std::vector<RingChunks> RingBlocks::chunks_of(int32_t rank) const {
  std::vector<RingChunks> chunks;
  for (int64_t b = 0; b < shape_.batch; ++b)
    chunks.push_back(ring_chunks(p_.ring_placement, meeting_.keys(b), rank));
  return chunks;
}

Status RingBlocks::start(int32_t step) {
  const int32_t rank = ring_.rank(), ranks = ring_.size();
  arriving_ = ring_source(rank, step + 1, ranks);
  Status s = buffers_->before_receiving(1 - current_);
  if (s)
    s = ring_.start(buffers_->buffer[current_], parts_of(ring_source(rank, step, ranks)).bytes,
                    buffers_->buffer[1 - current_], parts_of(arriving_).bytes, buffers_->stream);
  under_way_ = static_cast<bool>(s);
  return s;
}

Status RingBlocks::wait() {
  under_way_ = false;
  if (const Status s = ring_.wait(buffers_->stream); !s) return s;
  current_ = 1 - current_;
  std::byte* data = nullptr;
  const Status s = buffers_->received(current_, parts_of(arriving_).bytes, &data);
  if (s) place(arriving_, data);
  return s;
}

void RingBlocks::place(int32_t rank, std::byte* data) {
  const Parts parts = parts_of(rank);
  at_hand_.k = packed(data, a_.k.dtype, a_.k, parts.rows, shape_.kv_heads, shape_.head_dim);
  at_hand_.v = packed(data + parts.v, a_.v.dtype, a_.v, parts.rows, shape_.kv_heads, shape_.v_dim);
  if (parts.v_in_k) at_hand_.v.stride = at_hand_.k.stride;
  if (p_.mask.kv_segment_ids)
    at_hand_.ids = packed(data + parts.ids, DType::kI64, a_.k, parts.rows, 0, 0);
  at_hand_.first.clear();
  int64_t first = 0;
  for (int64_t b = 0; b < shape_.batch; ++b) {
    at_hand_.first.push_back(first);
    first += meeting_.keys(b).used_by(rank);
  }
  // Only rows in use have come, the second chunk's right behind the first's: it has some only where
  // all of the first are in use.
  at_hand_.chunks = chunks_of(rank);
}

}  // namespace attend
