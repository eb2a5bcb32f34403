#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "attend/kernel.h"
#include "backends/native/held_memory.h"
#include "backends/native/isa/tile_ops.h"
#include "backends/native/scratch.h"
#include "ops/common/philox.h"
#include "ops/ring/ring_blocks.h"

// The local part of ring attention: one rank's query rows and what they have gathered so far.
namespace attend::native {

class RingRows {
 public:
  // sequences must outlive the object.
  RingRows(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
           const ExecContext& context, const std::vector<RingSequence>& sequences);
  RingRows(const RingRows&) = delete;
  RingRows& operator=(const RingRows&) = delete;

  // False if there was no memory.
  explicit operator bool() const { return gathered_ != nullptr && *scratch_; }

  // Joins the keys of one block into every row that may see some of them.
  Status attend(const RingKeys& block);

  // Sinks, the division by the sums, and the rows' way out.
  void finish();

  // What a workspace must hold.
  static uint64_t workspace_bytes(const TileOps& ops, const AttentionArgs& a,
                                  const AttentionParams& p, int32_t workers);

 private:
  // Query rows of one chunk and the heads that share one head of keys.
  struct Task {
    const RingSequence* sequence;
    RingChunk rows;
    int64_t kv_head;
  };
  class Piece;

  bool take_memory();
  Status attend(const Task& task, const RingKeys& block, int32_t worker) const;
  void join(const Task& task, const float* out, const float* lse) const;
  void finish(const Task& task) const;
  int64_t slot(const Task& task, int64_t row, int64_t head) const;

  const TileOps& ops_;
  const AttentionArgs& a_;
  const AttentionParams& p_;
  const ExecContext& context_;
  const CallShape shape_;
  std::vector<Task> tasks_;
  Dropout dropout_;
  int32_t workers_ = 1;
  uint64_t tiles_bytes_ = 0;   // of a worker's scratch, the part that tiles work in
  ExecContext inner_context_;  // what the workers' scratch is taken from
  std::optional<Scratch> scratch_;

  // By row and head: largest lse so far, sum of exp(lse - m), and the sum of exp(lse - m) * out.
  std::byte* gathered_ = nullptr;
  std::optional<HeldMemory> held_;  // unless it lies in the caller's workspace
  float *m_ = nullptr, *l_ = nullptr, *out_ = nullptr;
  int64_t out_stride_ = 0;
};

}  // namespace attend::native
