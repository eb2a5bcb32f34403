#include "backends/native/ring_rows.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "backends/native/convert.h"
#include "backends/native/thread_pool.h"
#include "backends/native/tile_worker.h"
#include "backends/native/tiles.h"
#include "ops/common/dropout.h"
#include "ops/common/online_softmax.h"
#include "ops/ring/ring_piece.h"

namespace attend::native {
namespace {

// Keys of one call of the tiles: joining, which touches v_dim floats a row, is then a thousandth
// of the products. They do not follow the threads, as what is cut decides bits.
constexpr int64_t kPieceKeys = 2048;
constexpr uint64_t kAlignment = 64;

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// A task is so many stacked rows: enough to pack keys for, few enough to share among threads.
int64_t task_positions(const TileOps& ops, const AttentionArgs& a) {
  constexpr int64_t kTaskRows = 384;
  const CallShape s = call_shape(a);
  const int64_t rows = TileSizes(ops, a, {}, s).rows;
  return std::max<int64_t>(1, std::min(rows, kTaskRows) / s.group());
}

int64_t all_rows(const AttentionArgs& a) {
  return a.q.rank == 3 ? a.q.dim(0) : a.q.dim(0) * a.q.dim(1);
}

uint64_t state_bytes(const AttentionArgs& a) {
  return aligned(static_cast<uint64_t>(all_rows(a) * a.q.dim(-2)) * sizeof(float));
}
// Values of a row take whole vectors, which is how they are stored.
int64_t padded_dims(const TileOps& ops, const AttentionArgs& a) {
  return round_up(a.v.dim(-1), ops.dim_step);
}
uint64_t gathered_bytes(const TileOps& ops, const AttentionArgs& a) {
  return static_cast<uint64_t>(2 + padded_dims(ops, a)) * state_bytes(a);
}

// The partial result of one piece: out and lse.
struct PartialBytes {
  uint64_t out, lse;
  uint64_t both() const { return out + lse; }
};
PartialBytes partial_bytes(const TileOps& ops, const AttentionArgs& a) {
  const CallShape s = call_shape(a);
  const auto rows = static_cast<uint64_t>(task_positions(ops, a) * s.group());
  return {aligned(rows * static_cast<uint64_t>(s.v_dim) * sizeof(float)),
          aligned(rows * sizeof(float))};
}

// A piece's shapes at their largest, to ask what scratch its tiles want.
AttentionArgs largest_piece(const TileOps& ops, const AttentionArgs& a) {
  const CallShape s = call_shape(a);
  const int64_t positions = task_positions(ops, a);
  AttentionArgs piece;
  piece.q = contiguous(nullptr, a.q.dtype, {1, positions, s.group(), s.head_dim});
  piece.k = contiguous(nullptr, a.k.dtype, {1, kPieceKeys, 1, s.head_dim});
  piece.v = contiguous(nullptr, a.v.dtype, {1, kPieceKeys, 1, s.v_dim});
  piece.out = contiguous(nullptr, DType::kF32, {1, positions, s.group(), s.v_dim});
  return piece;
}
// What a worker's tiles want.
uint64_t tiles_bytes(const TileOps& ops, const AttentionArgs& a) {
  AttentionParams plain;  // the words of the call hold indices of its own sequences
  plain.mask.diagonal = Diagonal::kBottomRight;
  return aligned(tiles_workspace_bytes(ops, largest_piece(ops, a), plain, 1));
}

// Tasks are already one a thread.
void run_here(void*, int64_t tasks, void (*body)(void*, int64_t, int32_t), void* context) {
  for (int64_t task = 0; task < tasks; ++task) body(context, task, 0);
}

TensorView index_view(int64_t& value) { return contiguous(&value, DType::kI64, {1}); }

}  // namespace

// A task and some keys as a call of their own, in which the first key stands at 0.
class RingRows::Piece {
 public:
  AttentionArgs a;
  AttentionParams p;
  TileUse use;

  Piece(const RingRows& r, const Task& task, const RingKeys& block, const RingChunk& keys,
        float* out, float* lse) {
    const Sequence& s = task.sequence->s;
    const RingChunk& rows = task.rows;
    const int64_t group = r.shape_.group();
    const RingHeads heads{task.kv_head * group, group, task.kv_head, 1};
    a = ring_piece_args(r.a_, s, block, rows, keys, heads);
    a.out = contiguous(out, DType::kF32, {1, rows.count, group, r.shape_.v_dim});
    a.lse = contiguous(lse, DType::kF32, {1, group, rows.count});
    p = ring_piece_params(r.p_, s, block, rows, keys, heads);
    const RowMask mask = ring_piece_mask(s.mask, rows, keys);
    const MaskSpec& of_call = r.p_.mask;
    name(p.mask.q_start, mask.d, q_start_);
    if (mask.block_size > 0) name(p.mask.block_origin, mask.block_origin, origin_);
    if (of_call.prefix_lens) name(p.mask.prefix_lens, mask.prefix, prefix_);
    if (of_call.hole_starts) {
      name(p.mask.hole_starts, mask.hole_begin, hole_begin_);
      name(p.mask.hole_ends, mask.hole_end, hole_end_);
    }
    if (r.p_.dropout_p <= 0.0f) return;
    use.dropout = &r.dropout_;
    use.first_row = rows.first;
    use.first_key = keys.first;
    use.first_head = s.b * r.shape_.heads + heads.first;
  }

 private:
  static void name(TensorView& word, int64_t value, int64_t& kept) {
    kept = value;
    word = index_view(kept);
  }

  int64_t q_start_ = 0, origin_ = 0, prefix_ = 0, hole_begin_ = 0, hole_end_ = 0;
};

RingRows::RingRows(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                   const ExecContext& context, const std::vector<RingSequence>& sequences)
    : ops_(ops), a_(a), p_(p), context_(context), shape_(call_shape(a)) {
  dropout_ = dropout_of(p);
  const int64_t step = task_positions(ops_, a_);
  for (const RingSequence& sequence : sequences)
    for (const RingChunk& chunk : sequence.rows)
      for (int64_t row = 0; row < chunk.count; row += step)
        for (int64_t h = 0; h < shape_.kv_heads; ++h)
          tasks_.push_back(
              {&sequence,
               {chunk.first + row, std::min(step, chunk.count - row), chunk.local + row},
               h});
  // Under a causal mask the last rows have the most keys: they go first, so that no thread ends
  // with them.
  std::stable_sort(tasks_.begin(), tasks_.end(),
                   [](const Task& x, const Task& y) { return x.rows.first > y.rows.first; });
  workers_ = worker_count(context, static_cast<int64_t>(tasks_.size()));
  if (!take_memory()) return;
  const int64_t slots = all_rows(a) * shape_.heads;
  std::fill_n(m_, slots, -INFINITY);
  std::fill_n(l_, slots, 0.0f);
}

// The workspace serves both parts or the workers alone.
bool RingRows::take_memory() {
  tiles_bytes_ = tiles_bytes(ops_, a_);
  const uint64_t worker_bytes = partial_bytes(ops_, a_).both() + tiles_bytes_;
  const uint64_t bytes = gathered_bytes(ops_, a_),
                 all = bytes + Scratch::bytes(worker_bytes, workers_);
  inner_context_ = context_;
  if (context_.workspace != nullptr && context_.workspace_bytes >= all &&
      reinterpret_cast<uintptr_t>(context_.workspace) % kAlignment == 0) {
    gathered_ = static_cast<std::byte*>(context_.workspace);
    inner_context_.workspace = gathered_ + bytes;
    inner_context_.workspace_bytes -= bytes;
  } else {
    held_.emplace(context_, bytes);
    gathered_ = held_->data();
  }
  scratch_.emplace(inner_context_, worker_bytes, workers_);
  if (gathered_ == nullptr) return false;
  m_ = reinterpret_cast<float*>(gathered_);
  l_ = reinterpret_cast<float*>(gathered_ + state_bytes(a_));
  out_ = reinterpret_cast<float*>(gathered_ + 2 * state_bytes(a_));
  out_stride_ = padded_dims(ops_, a_);
  return true;
}

uint64_t RingRows::workspace_bytes(const TileOps& ops, const AttentionArgs& a,
                                   const AttentionParams&, int32_t workers) {
  return gathered_bytes(ops, a) +
         Scratch::bytes(partial_bytes(ops, a).both() + tiles_bytes(ops, a), workers);
}

int64_t RingRows::slot(const Task& task, int64_t row, int64_t head) const {
  const Sequence& s = task.sequence->s;
  const int64_t first = shape_.ragged ? s.q_first : s.b * a_.q.dim(1);
  return (first + task.rows.local + row) * shape_.heads + task.kv_head * shape_.group() + head;
}

Status RingRows::attend(const RingKeys& block) {
  std::atomic<bool> failed{false};
  Status first{};
  parallel(context_, workers_, static_cast<int64_t>(tasks_.size()),
           [&](int64_t task, int32_t worker) {
             const Status s = attend(tasks_[static_cast<size_t>(task)], block, worker);
             if (!s && !failed.exchange(true)) first = s;
           });
  return first;
}

Status RingRows::attend(const Task& task, const RingKeys& block, int32_t worker) const {
  const RingChunk& rows = task.rows;
  const PartialBytes partial = partial_bytes(ops_, a_);
  std::byte* const scratch = scratch_->of(worker);
  auto* const out = reinterpret_cast<float*>(scratch);
  auto* const lse = reinterpret_cast<float*>(scratch + partial.out);
  ExecContext context = context_;
  context.parallel_for = {run_here, nullptr, 1};
  context.workspace = scratch + partial.both();
  context.workspace_bytes = tiles_bytes_;
  for (const RingChunk& chunk : block.chunks[static_cast<size_t>(task.sequence->s.b)]) {
    // Pieces end at multiples of their size in the whole sequence.
    const int64_t end = chunk.first + chunk.count;
    for (int64_t j = chunk.first; j < end;) {
      const int64_t next = std::min(end, (j / kPieceKeys + 1) * kPieceKeys);
      const RingChunk keys{j, next - j, chunk.local + j - chunk.first};
      j = next;
      if (ring_piece_hidden(task.sequence->s.mask, rows, keys)) continue;
      const Piece piece(*this, task, block, keys, out, lse);
      if (const Status s = run_tiles(ops_, piece.a, piece.p, context, piece.use); !s) return s;
      join(task, out, lse);
    }
  }
  return {};
}

// A partial result counts like one key whose score is its lse and whose value is its out.
void RingRows::join(const Task& task, const float* out, const float* lse) const {
  const int64_t group = shape_.group(), dims = shape_.v_dim;
  for (int64_t row = 0; row < task.rows.count; ++row)
    for (int64_t h = 0; h < group; ++h) {
      const float part = lse[h * task.rows.count + row];
      if (part == -INFINITY) continue;  // no key of the piece is visible
      const int64_t at = slot(task, row, h);
      const float* from = out + (row * group + h) * dims;
      float* to = out_ + at * out_stride_;
      OnlineSoftmax state{m_[at], l_[at]};
      const bool fresh = state.l == 0.0f;
      const float factor = state.admit(part), weight = std::exp(part - state.base());
      state.l += weight;
      m_[at] = state.m;
      l_[at] = state.l;
      if (fresh)
        for (int64_t d = 0; d < dims; ++d) to[d] = weight * from[d];
      else
        for (int64_t d = 0; d < dims; ++d) to[d] = to[d] * factor + weight * from[d];
    }
}

void RingRows::finish() {
  parallel(context_, workers_, static_cast<int64_t>(tasks_.size()),
           [&](int64_t task, int32_t) { finish(tasks_[static_cast<size_t>(task)]); });
}

void RingRows::finish(const Task& task) const {
  const Sequence& s = task.sequence->s;
  const RowsView out = rows_of(a_.out, s.b, s.q_first);
  const int64_t head = task.kv_head * shape_.group();
  for (int64_t row = 0; row < task.rows.count; ++row)
    for (int64_t h = 0; h < shape_.group(); ++h) {
      const int64_t at = slot(task, row, h), i = task.rows.local + row;
      float* acc = out_ + at * out_stride_;
      OnlineSoftmax state{m_[at], l_[at]};
      if (state.l == 0.0f) std::fill_n(acc, shape_.v_dim, 0.0f);  // never joined
      float factor = 1.0f;
      for (int64_t n = 0; n < sink_count(p_.sinks); ++n)
        factor *= state.admit_sink(sink_logit(p_.sinks, head + h, n));
      ops_.store(acc, factor * state.inverse_sum(), static_cast<int32_t>(shape_.v_dim),
                 {out.at(i, head + h), out.dim, elem_of(out.dtype), nullptr});
      if (a_.lse)
        store(lse_rows_of(a_.lse, s.b, s.q_first).at(i, head + h), DType::kF32, state.lse());
    }
}

}  // namespace attend::native
