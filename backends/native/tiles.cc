// Exact attention, tile by tile, with an online softmax; no score matrix ever exists.
//
//   task      one sequence x one stack of heads x one tile of query rows. The rows of all query
//             heads that read one kv head are stacked, row r = (position r / group, head r % group),
//             so that a packed key serves them all.
//   per step  up to 256 keys: K packed transposed, S = Q K^T, softmax row by row, V packed,
//             O = O * f + S V
//   cost      2 (head_dim + v_dim) FLOP a visible pair; packing is 1 / rows of that; keys that no
//             row of a register tile may see are skipped in whole groups
//   split     a sequence of few rows cuts its keys into parts (ops/common/split_plan.h), which are
//             folded in order; one thread does so as it goes, and where there are fewer tasks than
//             threads the parts are tasks of their own. Both do the same arithmetic.
//   memory    one Worker a thread (tile_worker.h), whatever the sequence lengths
//   bits      key tiles and parts begin at multiples of their size: a row's result does not depend
//             on its batch or the number of threads
//   inside    the arithmetic is in isa/tile-inl.h, once for every instruction set; what a mask
//             means is in ops/common/mask.h; one task is in row_tile.cc
#include "backends/native/tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <mutex>

#include "backends/native/row_tile.h"
#include "backends/native/scratch.h"
#include "backends/native/thread_pool.h"
#include "ops/common/online_softmax.h"

namespace attend::native {
namespace {

// Adds the part `b` to what `a` holds of the parts before it.
void fold(const RowState& a, const RowState& b, int32_t rows, int64_t v_dims) {
  for (int32_t r = 0; r < rows; ++r) {
    OnlineSoftmax all{a.m[r], a.l[r]};
    const float before = all.admit(b.m[r]);
    const float now = b.m[r] == -INFINITY ? 0.0f : std::exp(b.m[r] - all.m);
    a.m[r] = all.m;
    a.l[r] = all.l + b.l[r] * now;
    float* to = a.out + r * v_dims;
    const float* from = b.out + r * v_dims;
    for (int64_t d = 0; d < v_dims; ++d) to[d] = to[d] * before + from[d] * now;
  }
}

void copy(const RowState& to, const RowState& from, int32_t rows, int64_t v_dims) {
  std::copy_n(from.m, rows, to.m);
  std::copy_n(from.l, rows, to.l);
  std::copy_n(from.out, rows * v_dims, to.out);
}

// How a call is cut into tasks.
struct Tasks {
  int64_t rows = 0;     // of a tile
  int64_t tiles = 0;    // of the longest sequence
  int64_t columns = 0;  // sequences x stacks
  int64_t parts = 1;    // > 1: that many tasks a tile, one for each part of the keys

  int64_t tiles_in_all() const { return tiles * columns; }
};

// Rows of a tile: as many as fit, fewer when that would leave threads without a task. Results do
// not depend on it. Under a plan they lie in one row of its tiles.
int64_t rows_per_tile(const TileCall& c, int64_t longest, int32_t workers) {
  if (c.use.plan != nullptr) {
    int64_t positions = c.use.plan->shape().rows;
    while (positions > 1 && positions * c.stack > c.sizes.rows) positions = (positions + 1) / 2;
    while (c.use.plan->shape().rows % positions != 0) --positions;
    return positions * c.stack;
  }
  int64_t panels = c.sizes.rows / c.ops.row_step;
  const int64_t rows = longest * c.stack;
  while (workers > 1 && panels > 2 &&
         c.shape.batch * c.stacks() * ((rows - 1) / (panels * c.ops.row_step) + 1) < 3 * workers)
    panels /= 2;
  return panels * c.ops.row_step;
}

SplitPlan split_of(const TileCall& c, const Sequence& s, KeyRange visible) {
  return split_plan(c.use.plan != nullptr ? INT64_MAX : s.q_len * c.stack, visible);
}

Tasks plan_tasks(const TileCall& c, int32_t workers) {
  Tasks tasks;
  int64_t longest = 0, parts = 1;
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    const Sequence s = sequence(c.a, c.p, b);
    longest = std::max(longest, s.q_len);
    if (s.q_len > 0)
      parts = std::max(
          parts, split_of(c, s, {s.mask.keys(0).begin, s.mask.keys(s.q_len - 1).end}).count());
  }
  tasks.columns = c.shape.batch * c.stacks();
  if (longest == 0 || c.shape.heads == 0) return tasks;
  tasks.rows = rows_per_tile(c, longest, workers);
  tasks.tiles = (longest * c.stack - 1) / tasks.rows + 1;
  if (tasks.tiles_in_all() < workers) tasks.parts = parts;
  return tasks;
}

// The scratch of a call: a Worker a thread and, where parts are tasks, a record for each of them.
struct Memory {
  uint64_t worker = 0, record = 0;
  int64_t records = 0;

  Memory(const TileCall& c, const Tasks& tasks)
      : worker(
            static_cast<uint64_t>(round_up(static_cast<int64_t>(bytes_per_worker(c.sizes)), 64))) {
    if (tasks.parts == 1) return;
    records = tasks.tiles_in_all() * tasks.parts;
    record = static_cast<uint64_t>(round_up(c.sizes.part_rows * (c.sizes.v_dims + 2), 16)) *
             sizeof(float);
  }
  uint64_t per_worker(int32_t workers) const {
    return worker + record * static_cast<uint64_t>((records + workers - 1) / workers);
  }
};

class Run {
 public:
  Run(const TileCall& call, const ExecContext& context)
      : c_(call),
        context_(context),
        tasks_(plan_tasks(call, worker_count(context, INT64_MAX))),
        memory_(call, tasks_),
        workers_(worker_count(context, std::max<int64_t>(1, tasks_.tiles_in_all() * tasks_.parts))),
        scratch_(context, memory_.per_worker(workers_), workers_) {}

  Status run() {
    if (tasks_.tiles == 0) return {};
    if (!scratch_) return {ErrorCode::kOutOfMemory, "scratch memory is not to be had", 0};
    if (c_.use.before != nullptr) c_.use.before(c_.a, context_);
    if (tasks_.parts == 1) {
      parallel(context_, workers_, tasks_.tiles_in_all(),
               [&](int64_t task, int32_t thread) { whole_tile(task, thread); });
      return {};
    }
    parallel(context_, workers_, tasks_.tiles_in_all() * tasks_.parts,
             [&](int64_t task, int32_t thread) { one_part(task, thread); });
    parallel(context_, workers_, tasks_.tiles_in_all(),
             [&](int64_t task, int32_t thread) { join_parts(task, thread); });
    return {};
  }

 private:
  // Calls f(tile of rows, sequence, worker) unless the task's rows lie beyond its sequence.
  template <class F>
  void with_tile(int64_t task, int32_t thread, F&& f) const {
    // Under a causal mask the last rows have the most keys: they go first, so that no thread ends
    // with them.
    const int64_t tile = tasks_.tiles - 1 - task / tasks_.columns, column = task % tasks_.columns;
    const Sequence s = sequence(c_.a, c_.p, column / c_.stacks());
    const int64_t begin = tile * tasks_.rows,
                  end = std::min(begin + tasks_.rows, s.q_len * c_.stack);
    if (begin >= end) return;
    Worker worker{};
    worker.lay_out(scratch_.of(thread), c_.sizes);
    RowTile rows(c_, worker, s, column % c_.stacks(), begin, end);
    f(rows, s, worker);
  }

  void whole_tile(int64_t task, int32_t thread) const {
    with_tile(task, thread, [&](RowTile& rows, const Sequence& s, const Worker& worker) {
      const KeyRange visible = rows.visible();
      const SplitPlan plan = split_of(c_, s, visible);
      for (int64_t n = plan.first; n < plan.end; ++n) {
        rows.attend(plan.part(n, visible));
        if (plan.count() > 1) gather(worker, rows.rows(), n == plan.first);
      }
      if (plan.count() > 1) copy(worker.state, worker.folded, rows.rows(), c_.sizes.v_dims);
      rows.finish();
    });
  }

  void one_part(int64_t task, int32_t thread) const {
    with_tile(task / tasks_.parts, thread,
              [&](RowTile& rows, const Sequence& s, const Worker& worker) {
                const KeyRange visible = rows.visible();
                const SplitPlan plan = split_of(c_, s, visible);
                const int64_t n = plan.first + task % tasks_.parts;
                if (n >= plan.end) return;
                rows.attend(plan.part(n, visible));
                if (plan.count() > 1)
                  copy(record(task), worker.state, rows.rows(), c_.sizes.v_dims);
                else
                  rows.finish();
              });
  }

  void join_parts(int64_t task, int32_t thread) const {
    with_tile(task, thread, [&](RowTile& rows, const Sequence& s, const Worker& worker) {
      const SplitPlan plan = split_of(c_, s, rows.visible());
      if (plan.count() <= 1) return;
      for (int64_t n = 0; n < plan.count(); ++n) {
        copy(worker.state, record(task * tasks_.parts + n), rows.rows(), c_.sizes.v_dims);
        gather(worker, rows.rows(), n == 0);
      }
      copy(worker.state, worker.folded, rows.rows(), c_.sizes.v_dims);
      rows.finish();
    });
  }

  void gather(const Worker& worker, int32_t rows, bool first) const {
    if (first)
      copy(worker.folded, worker.state, rows, c_.sizes.v_dims);
    else
      fold(worker.folded, worker.state, rows, c_.sizes.v_dims);
  }

  // Where part `task` leaves its state until all parts are there.
  RowState record(int64_t task) const {
    std::byte* at = scratch_.of(static_cast<int32_t>(task % workers_)) + memory_.worker +
                    memory_.record * static_cast<uint64_t>(task / workers_);
    auto* m = reinterpret_cast<float*>(at);
    return {m, m + c_.sizes.part_rows, m + 2 * c_.sizes.part_rows};
  }

  const TileCall& c_;
  const ExecContext& context_;
  const Tasks tasks_;
  const Memory memory_;
  const int32_t workers_;
  const Scratch scratch_;
};

}  // namespace

Status run_tiles(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context, const TileUse& use) {
  const TileCall call(ops, a, p, use);
  return Run(call, context).run();
}

Status run_plain_tiles(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                       const ExecContext& context) {
  return run_tiles(ops, a, p, context, {});
}

uint64_t tiles_workspace_bytes(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                               int32_t workers) {
  const TileUse use;
  const TileCall call(ops, a, p, use);
  return Scratch::bytes(Memory(call, plan_tasks(call, workers)).per_worker(workers), workers);
}

Status tiles_take(const TileOps& ops, const AttentionArgs& a) {
  if (ops.word_values == 1) return {};
  if (a.q.dtype != DType::kBF16)
    return {ErrorCode::kUnsupported, "q dtype is not bf16, which this kernel's dot products take",
            0};
  // Weights are rounded to bf16 and their sum is not: an output in f32 would show it.
  if (a.out.dtype != DType::kBF16)
    return {ErrorCode::kUnsupported,
            "out dtype is f32, expected bf16, to which weights are rounded", 0};
  if (a.k.dtype != DType::kBF16 || a.v.dtype != DType::kBF16)
    return {ErrorCode::kUnsupported,
            "k and v are a cache of another dtype than bf16, which this kernel's dot products take",
            0};
  return {};
}

const TileOps& best_tile_ops(const AttentionArgs& a) {
#if defined(__x86_64__)
  if (bf16_dot_products_pay() && available(Isa::kAvx512Bf16) && tiles_take(kAvx512Bf16Ops, a))
    return kAvx512Bf16Ops;
  if (available(Isa::kAvx512)) return kAvx512Ops;
  if (available(Isa::kAvx2)) return kAvx2Ops;
#endif
  return kPortableOps;
}

const char* kept(std::string text) {
  static std::mutex mutex;
  static auto& texts = *new std::deque<std::string>;  // as long as rows may be asked: for ever
  const std::lock_guard lock(mutex);
  return texts.emplace_back(std::move(text)).c_str();
}

}  // namespace attend::native
