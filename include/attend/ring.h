#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "attend/attention_params.h"
#include "attend/error.h"
#include "attend/export.h"

// Sequence-parallel attention (RingAttention with AttentionParams::ring_transport): every rank
// calls the operator with its own rows of every sequence, the keys and values travel once around
// the ring, and each rank's partial results are joined in f32. All ranks of a ring make the same
// call at the same time; batch, heads, kv_heads, head_dim, v_dim, the dtype of q, k, v, the
// placement and whether segments are given must agree, which is checked before anything else.
//
// What is a rank's own and what is the whole sequence's:
//   own       q, k, v, out, lse, q_segment_ids, kv_segment_ids: this rank's rows, in local order;
//             cu_seqlens_*, seqused_*, max_seqlen_*: lengths of those rows. Ranks may hold any
//             number of rows, none included, and seqlen_q need not be seqlen_k. The rows in use are
//             the first of a sequence, so a rank that does not use all of its rows is followed (in
//             original order) by ranks that use none of theirs.
//   original  q_start, prefix_lens, hole_starts, hole_ends, block_origin name positions of the
//             whole sequence, [batch], the same on every rank; causal, windows, alibi and dropout
//             count in original positions too, and the diagonal in whole lengths in use.
//   keep,     right-aligned to [batch, heads, own rows, keys of the whole sequence in original
//   bias      order], each dimension 1 or full; ragged: of the longest sequences, max_seqlen_q
//             where that is told.
//   the same  alibi_slopes, sinks, the scale and every other scalar. Sinks count once.
namespace attend {

// The rows [first, first + count) of a whole sequence.
struct RingSpan {
  int64_t first = 0, count = 0;
  friend bool operator==(RingSpan, RingSpan) = default;
};

// The rows of a sequence that a rank holds, in their local order.
//   kContiguous  rows rank * length / ranks .. (rank + 1) * length / ranks; the second span is
//                empty. This is a proposal: a contiguous ring takes any counts, one after another.
//   kZigzag      the sequence is cut into 2 * ranks chunks, chunk c being rows
//                c * length / (2 * ranks) .. (c + 1) * length / (2 * ranks), rounded down; a rank
//                holds chunk `rank`, then chunk 2 * ranks - 1 - rank, so that a causal mask gives
//                every rank the same work. Counts must be exactly these, for each sequence.
//   errors       kInvalidArgument: length < 0, ranks < 1 or rank outside 0..ranks - 1
ATTEND_API std::array<RingSpan, 2> ring_cut(RingPlacement placement, int64_t length, int32_t rank,
                                            int32_t ranks);

// How blocks travel: one object a rank, used by one thread at a time (abort apart). At most one
// exchange is under way on each rank, so that two buffers suffice; the local work on one block runs
// while the next one arrives. There is no barrier: a rank only ever waits for its two neighbours.
// It fits MPI_Isend and MPI_Irecv, and a group of ncclSend and ncclRecv on a stream of its own.
//   memory   of the device of the call (ExecContext::device) where reaches() says so, and then
//            `stream` is the call's; else native memory, pinned, and `stream` is null: the operator
//            brings blocks there and back. What ranks tell one another first, some words each, is
//            in native memory wherever that is reached. Sizes in bytes; either may be 0
//   waits    on a GPU start() and wait() may return before anything has happened there, if what
//            follows on `stream` waits; the operator itself waits for the device once where a call
//            has index vectors (lengths, positions), once for its own keys where they pass through
//            native memory, and then never for the block that it works on. Such a call is not for
//            graph capture
//   errors   a Status, whose text stays valid while the transport lives
class ATTEND_API RingTransport {
 public:
  virtual ~RingTransport();
  virtual int32_t rank() const noexcept = 0;
  virtual int32_t size() const noexcept = 0;  // 1 or more

  // Whether buffers in this kind of memory can be given. A call on a GPU wants its or native's.
  virtual bool reaches(DeviceType device) const noexcept = 0;

  // Starts to send to rank + 1 and to receive from rank - 1 (modulo size). The bytes that are sent
  // on one side are those that the other expects. Both buffers belong to the transport until wait()
  // has returned, whatever it returns. On a GPU the exchange begins when the work before it on
  // `stream` is done.
  virtual Status start(const void* send, uint64_t send_bytes, void* receive, uint64_t receive_bytes,
                       void* stream) = 0;

  // Ends the exchange that was started: what was sent may be overwritten and what was received be
  // read, on a GPU by the work that follows on `stream`.
  virtual Status wait(void* stream) = 0;

  // Lets every rank go: exchanges that are under way or yet to come fail on all ranks with the
  // first reason given. From any thread, any number of times. The operator calls it when a rank's
  // call throws for any reason; a program calls it when a rank will not call at all.
  virtual void abort(const char* why) noexcept = 0;
};

// A ring of threads in this process, for as many ranks as wanted.
class ATTEND_API InProcessRing {
 public:
  //   errors   kInvalidArgument if ranks < 1
  explicit InProcessRing(int32_t ranks);
  ~InProcessRing();
  InProcessRing(const InProcessRing&) = delete;
  InProcessRing& operator=(const InProcessRing&) = delete;

  int32_t size() const noexcept;
  // Lives as long as the ring.
  //   errors   kInvalidArgument outside 0..size() - 1
  RingTransport* transport(int32_t rank);

  void abort(const char* why) noexcept;
  // Makes an aborted ring fit for use again. No rank may be inside a call.
  void reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attend
