#include "backends/gpu/host/ring_rows.h"

#include <algorithm>

#include "backends/gpu/host/merge.h"

namespace attend::gpu {
namespace {

constexpr uint64_t kAlignment = 256;

TensorView index_view(const int64_t* at) {
  TensorView t;
  t.data = const_cast<int64_t*>(at);
  t.dtype = DType::kI64;
  t.rank = 1;
  t.shape[0] = t.stride[0] = 1;
  return t;
}

TileUse use_of(const RingChunk& rows, const RingChunk& keys, int64_t first_head) {
  TileUse use = tile_use(OpId::kRing);
  use.first_row = rows.first;
  use.first_key = keys.first;
  use.first_head = first_head;
  return use;
}

}  // namespace

RingRows::RingRows(const TileKernel& kernel, const AttentionArgs& a, const AttentionParams& p,
                   const std::vector<RingSequence>& sequences, const RingBlocks& blocks)
    : kernel_(kernel),
      a_(a),
      p_(p),
      shape_(call_shape(a)),
      heads_{0, shape_.heads, 0, shape_.kv_heads} {
  int64_t slot = 0;
  for (const RingSequence& sequence : sequences)
    for (const RingChunk& rows : sequence.rows) {
      tasks_.push_back({&sequence.s, rows, slot});
      slot += rows.count;
    }
  const int32_t ranks = p.ring_transport->size();
  for (int32_t step = 0; step < ranks; ++step) {
    const std::vector<RingChunks> chunks =
        blocks.chunks_of(ring_source(p.ring_transport->rank(), step, ranks));
    std::vector<Piece>& pieces = steps_.emplace_back();
    for (size_t t = 0; t < tasks_.size(); ++t)
      for (const RingChunk& keys : chunks[static_cast<size_t>(tasks_[t].s->b)]) {
        if (ring_piece_hidden(tasks_[t].s->mask, tasks_[t].rows, keys)) continue;
        pieces.push_back({t, keys});
        ++tasks_[t].pieces;
      }
  }
  lay_out();
}

void RingRows::lay_out() {
  const auto place = [this](uint64_t bytes) {
    const uint64_t at = bytes_;
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  };
  uint64_t all = 0, most = 0, pieces = 0, tiles = 0;
  for (const Task& task : tasks_) {
    const auto rows = static_cast<uint64_t>(task.rows.count * shape_.heads);
    all += rows;
    most = std::max(most, rows);
  }
  for (const std::vector<Piece>& step : steps_) {
    pieces += step.size();
    for (const Piece& piece : step) {
      AttentionArgs largest;  // shapes alone
      const Task& task = tasks_[piece.task];
      largest.q.rank = largest.k.rank = largest.v.rank = 4;
      largest.q.shape = {1, task.rows.count, shape_.heads, shape_.head_dim};
      largest.k.shape = {1, piece.keys.count, shape_.kv_heads, shape_.head_dim};
      largest.v.shape = {1, piece.keys.count, shape_.kv_heads, shape_.v_dim};
      tiles = std::max(
          tiles, tiles_workspace_bytes(kernel_, largest, p_, use_of(task.rows, piece.keys, 0)));
    }
  }
  const auto dims = static_cast<uint64_t>(shape_.v_dim);
  indices_ = place(pieces * kIndices * sizeof(int64_t));
  out_ = place(all * dims * sizeof(float));
  lse_ = place(all * sizeof(float));
  part_out_ = place(most * dims * sizeof(float));
  part_lse_ = place(most * sizeof(float));
  tiles_ = place(tiles);
}

Status RingRows::begin(const ExecContext& context, std::byte* at) {
  memory_ = at;
  context_ = context;
  context_.workspace = at + tiles_;
  context_.workspace_bytes = bytes_ - tiles_;
  context_.check_indices = CheckIndices::kOff;  // they have been checked
  const uint64_t bytes = out_ - indices_;
  if (const Status s = table_.take(context, bytes); !s) return s;
  auto* value = reinterpret_cast<int64_t*>(table_.data());
  for (const std::vector<Piece>& step : steps_)
    for (const Piece& piece : step) {
      const Task& task = tasks_[piece.task];
      const RowMask mask = ring_piece_mask(task.s->mask, task.rows, piece.keys);
      value[kStart] = mask.d;
      value[kOrigin] = mask.block_origin;
      value[kPrefix] = mask.prefix;
      value[kHoleBegin] = mask.hole_begin;
      value[kHoleEnd] = mask.hole_end;
      value += kIndices;
    }
  return table_.copy(at + indices_, table_.data(), bytes);
}

Status RingRows::attend(const RingKeys& block) {
  for (const Piece& piece : steps_[step_++]) {
    if (const Status s = join(tasks_[piece.task], block, piece); !s) return s;
    ++number_;
  }
  return {};
}

Status RingRows::join(Task& task, const RingKeys& block, const Piece& piece) {
  const bool first = task.done++ == 0, last = task.done == task.pieces;
  const Results part = first && last ? of_call(task) : first ? gathered(task) : partial(task);
  AttentionArgs a = ring_piece_args(a_, *task.s, block, task.rows, piece.keys, heads_);
  a.out = part.out;
  a.lse = part.lse;
  AttentionParams p = piece_params(task, block, piece, number_);
  if (first) p.sinks = p_.sinks;
  if (const Status s = run(task, a, p, piece.keys); !s || first) return s;
  const Results all = gathered(task), to = last ? of_call(task) : all;
  return merge({all.out, all.lse, part.out, part.lse, to.out, to.lse}, context_);
}

AttentionParams RingRows::piece_params(const Task& task, const RingKeys& block, const Piece& piece,
                                       size_t number) const {
  AttentionParams p = ring_piece_params(p_, *task.s, block, task.rows, piece.keys, heads_);
  MaskSpec& m = p.mask;
  const auto* const index =
      reinterpret_cast<const int64_t*>(memory_ + indices_) + number * kIndices;
  m.q_start = index_view(index + kStart);
  if (m.block_size > 0) m.block_origin = index_view(index + kOrigin);
  if (p_.mask.prefix_lens) m.prefix_lens = index_view(index + kPrefix);
  if (p_.mask.hole_starts) {
    m.hole_starts = index_view(index + kHoleBegin);
    m.hole_ends = index_view(index + kHoleEnd);
  }
  return p;
}

Status RingRows::run(const Task& task, const AttentionArgs& a, const AttentionParams& p,
                     const RingChunk& keys) const {
  return run_tiles(kernel_, a, p, context_, use_of(task.rows, keys, task.s->b * shape_.heads));
}

Status RingRows::finish() {
  for (const Task& task : tasks_) {
    if (task.pieces > 0) continue;
    const RingKeys none{
        a_.k, a_.v, {}, std::vector<int64_t>(static_cast<size_t>(shape_.batch)), {}};
    AttentionArgs a = ring_piece_args(a_, *task.s, none, task.rows, {}, heads_);
    const Results to = of_call(task);
    a.out = to.out;
    a.lse = to.lse;
    AttentionParams p;  // no key, so that no word matters but sinks
    p.softmax_scale = p_.softmax_scale;
    p.mask.diagonal = Diagonal::kBottomRight;
    p.sinks = p_.sinks;
    if (const Status s = run(task, a, p, {}); !s) return s;
  }
  return {};
}

RingRows::Results RingRows::gathered(const Task& task) const {
  const int64_t before = task.slot * shape_.heads * static_cast<int64_t>(sizeof(float));
  return results_at(memory_ + out_ + before * shape_.v_dim, memory_ + lse_ + before, task);
}
RingRows::Results RingRows::partial(const Task& task) const {
  return results_at(memory_ + part_out_, memory_ + part_lse_, task);
}

RingRows::Results RingRows::results_at(std::byte* out, std::byte* lse, const Task& task) const {
  Results r;
  const int64_t rows = task.rows.count, heads = shape_.heads, dims = shape_.v_dim;
  r.out.data = out;
  r.out.rank = 4;
  r.out.shape = {1, rows, heads, dims};
  r.out.stride = {0, heads * dims, dims, 1};
  r.lse.data = lse;
  r.lse.rank = 3;
  r.lse.shape = {1, heads, rows};
  r.lse.stride = {0, rows, 1};
  return r;
}

RingRows::Results RingRows::of_call(const Task& task) const {
  Results r = results_at(nullptr, nullptr, task);
  const RowsView out = rows_of(a_.out, task.s->b, task.s->q_first);
  r.out.data = out.at(task.rows.local, 0);
  r.out.dtype = a_.out.dtype;
  r.out.stride = {0, out.row, out.head, out.dim};
  if (!a_.lse) {
    r.lse = {};
    return r;
  }
  const RowsView lse = lse_rows_of(a_.lse, task.s->b, task.s->q_first);
  r.lse.data = lse.at(task.rows.local, 0);
  r.lse.stride = {0, lse.head, lse.row};
  return r;
}

}  // namespace attend::gpu
