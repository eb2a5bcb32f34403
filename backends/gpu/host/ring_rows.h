#pragma once
#include <optional>
#include <vector>

#include "backends/gpu/host/staging.h"
#include "backends/gpu/host/tiles.h"
#include "ops/ring/ring_piece.h"

namespace attend::gpu {

// The local part of a ring on a device: one rank's query rows and what they have gathered so far.
// What each step will add is known before the first: pieces, some rows of one sequence against some
// keys, each a call of the tiles. The first piece of a row holds its sinks and is what the others
// are merged into, in f32; the last merge writes the call's own out and lse.
class RingRows {
 public:
  // All must outlive the object.
  RingRows(const TileKernel& kernel, const AttentionArgs& a, const AttentionParams& p,
           const std::vector<RingSequence>& sequences, const RingBlocks& blocks);
  RingRows(const RingRows&) = delete;
  RingRows& operator=(const RingRows&) = delete;

  uint64_t device_bytes() const { return bytes_; }
  // `at` has device_bytes() bytes, which the call's stream orders.
  Status begin(const ExecContext& context, std::byte* at);
  // Joins the keys of one block, in the order of steps.
  Status attend(const RingKeys& block);
  // Rows that have seen no piece.
  Status finish();

 private:
  // Rows of one chunk.
  struct Task {
    const Sequence* s;
    RingChunk rows;
    int64_t slot;  // of its first row among all
    int32_t pieces = 0, done = 0;
  };
  struct Piece {
    size_t task;
    RingChunk keys;
  };
  // What a piece's words name, one index each.
  enum Index { kStart, kOrigin, kPrefix, kHoleBegin, kHoleEnd, kIndices };
  struct Results {
    TensorView out, lse;
  };

  void lay_out();
  AttentionArgs piece_args(const Task& task, const RingKeys& block, const RingChunk& keys) const;
  AttentionParams piece_params(const Task& task, const RingKeys& block, const Piece& piece,
                               size_t number) const;
  Status run(const Task& task, const AttentionArgs& a, const AttentionParams& p,
             const RingChunk& keys) const;
  Status join(Task& task, const RingKeys& block, const Piece& piece);
  Results gathered(const Task& task) const;
  Results partial(const Task& task) const;
  Results of_call(const Task& task) const;
  Results results_at(std::byte* out, std::byte* lse, const Task& task) const;

  const TileKernel& kernel_;
  const AttentionArgs& a_;
  const AttentionParams& p_;
  const CallShape shape_;
  const RingHeads heads_;
  std::vector<Task> tasks_;
  std::vector<std::vector<Piece>> steps_;
  size_t step_ = 0, number_ = 0;  // of the next block, of the next piece

  ExecContext context_;
  Staging table_;
  std::byte* memory_ = nullptr;
  // Where in it: indices of all pieces, out and lse gathered, those of one piece, its tiles' own.
  uint64_t indices_ = 0, out_ = 0, lse_ = 0, part_out_ = 0, part_lse_ = 0, tiles_ = 0, bytes_ = 0;
};

}  // namespace attend::gpu
