// Exact attention, tile by tile, with an online softmax; no score matrix ever exists.
//
//   task      one sequence x one stack of heads x one tile of query rows. The rows of all query
//             heads that read one kv head are stacked, row r = (position r / group, head r % group),
//             so that a packed key serves them all.
//   per step  up to 256 keys: K packed transposed, V packed; then for each panel of rows, from the
//             first-level cache: S = Q K^T, softmax, O = O * f + S V
//   cost      2 (head_dim + v_dim) FLOP a visible pair; packing is 1 / rows of that; keys that no
//             row of a panel may see are skipped in whole groups
//   narrow    sequences of a few rows read K and V in place, and a task takes several kv heads, 16
//             keys of each in turn: the heads of a key lie side by side, and memory is read in the
//             order of addresses
//   split     a sequence of few rows cuts its keys into parts (split_of below), which are
//             folded in order; one thread does so as it goes, and where there are fewer tasks than
//             threads the parts are tasks of their own. Both do the same arithmetic.
//   memory    one Worker a thread (tile_worker.h), whatever the sequence lengths
//   bits      key tiles and parts begin at multiples of their size: a row's result does not depend
//             on its batch or the number of threads
//   inside    the arithmetic is in isa/tile-inl.h, once for every instruction set; what a mask
//             means is in ops/common/mask.h; the rows of one kv head are in row_tile.cc, those of
//             several in row_tiles.h
#include "backends/native/tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <mutex>

#include "backends/native/row_tiles.h"
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
    // In fours, as v_dims is: the compiler would go one by one.
    using Four __attribute__((vector_size(16), may_alias)) = float;
    auto* to = reinterpret_cast<Four*>(a.out + r * v_dims);
    const auto* from = reinterpret_cast<const Four*>(b.out + r * v_dims);
    for (int64_t d = 0; d < v_dims / 4; ++d) to[d] = to[d] * before + from[d] * now;
  }
}

void copy(const RowState& to, const RowState& from, int32_t rows, int64_t v_dims) {
  std::copy_n(from.m, rows, to.m);
  std::copy_n(from.l, rows, to.l);
  std::copy_n(from.out, rows * v_dims, to.out);
}

// How a call is cut into tasks.
struct Tasks {
  int64_t rows = 0;      // of a tile
  int64_t tiles = 0;     // of the longest sequence
  int64_t columns = 0;   // sequences x groups of stacks
  int64_t together = 1;  // stacks of a group
  int64_t longest = 0;   // stacked rows of a sequence, at most
  int64_t parts = 1;     // > 1: that many tasks a tile, one for each part of the keys

  int64_t tiles_in_all() const { return tiles * columns; }
};

// Rows of a tile: as many as fit, fewer when that would leave threads without a task, but not so few
// that packing keys takes longer than they do. Results do not depend on it. Under a plan they lie in
// one row of its tiles.
int64_t rows_per_tile(const TileCall& c, int64_t rows, int64_t parts, int32_t workers) {
  if (c.use.plan != nullptr) {
    int64_t positions = c.use.plan->shape().rows;
    while (positions > 1 && positions * c.stack > c.sizes.rows) positions = (positions + 1) / 2;
    while (c.use.plan->shape().rows % positions != 0) --positions;
    return positions * c.stack;
  }
  constexpr int64_t kFewestPanels = 4;
  int64_t panels = c.sizes.rows / c.ops.row_step;
  if (rows <= kWideSplitRows && parts > 1) return panels * c.ops.row_step;  // threads share parts
  while (workers > 1 && panels >= 2 * kFewestPanels &&
         c.shape.batch * c.stacks() * ((rows - 1) / (panels * c.ops.row_step) + 1) < 3 * workers)
    panels /= 2;
  return panels * c.ops.row_step;
}

// Up to kWideSplitRows, rows are too few to be divided among threads: each would pack all keys.
SplitPlan split_of(const TileCall& c, const Sequence& s, KeyRange visible) {
  const int64_t rows = c.use.plan != nullptr ? INT64_MAX : s.q_len * c.stack;
  if (rows > kSplitRows && rows <= kWideSplitRows && visible.begin < visible.end)
    return cut_keys(visible, kWideSplitKeys);
  return split_plan(rows, visible);
}

// How many stacks a task takes: as many as leave every thread enough tasks.
int64_t stacks_together(const TileCall& c, int64_t tasks_a_stack, int32_t workers) {
  if (c.sizes.keep_scores || c.sizes.staged_floats > 0) return 1;  // they share that memory
  for (int64_t n = std::min(kMostTogether, c.stacks()); n > 1; --n)
    if (c.stacks() % n == 0 &&
        (workers == 1 || c.stacks() / n * tasks_a_stack >= 2 * int64_t{workers}))
      return n;
  return 1;
}

Tasks plan_tasks(const TileCall& c, int32_t workers) {
  Tasks tasks;
  int64_t longest = 0, parts = 1;
  bool narrow = false;
  for (int64_t b = 0; b < c.shape.batch; ++b) {
    const Sequence s = sequence(c.a, c.p, b);
    longest = std::max(longest, s.q_len);
    narrow |= c.narrow(s);
    if (s.q_len > 0)
      parts = std::max(
          parts, split_of(c, s, {s.mask.keys(0).begin, s.mask.keys(s.q_len - 1).end}).count());
  }
  tasks.columns = c.shape.batch * c.stacks();
  if (longest == 0 || c.shape.heads == 0) return tasks;
  tasks.longest = longest * c.stack;
  tasks.rows = rows_per_tile(c, tasks.longest, parts, workers);
  tasks.tiles = (tasks.longest - 1) / tasks.rows + 1;
  if (narrow) tasks.together = stacks_together(c, tasks.tiles * c.shape.batch * parts, workers);
  tasks.columns /= tasks.together;
  if (tasks.tiles_in_all() < workers) tasks.parts = parts;
  return tasks;
}

// The scratch of a call: a Worker a thread and, where parts are tasks, a record for each of them.
struct Memory {
  uint64_t worker = 0, record = 0;
  int64_t records = 0, rows = 0;  // of a record

  Memory(const TileCall& c, const Tasks& tasks)
      : worker(
            static_cast<uint64_t>(round_up(static_cast<int64_t>(bytes_per_worker(c.sizes)), 64))) {
    if (tasks.parts == 1) return;
    records = tasks.tiles_in_all() * tasks.parts * tasks.together;
    rows = std::min<int64_t>(c.sizes.part_rows, round_up(tasks.longest, c.ops.row_step));
    record = static_cast<uint64_t>(round_up(rows * (c.sizes.v_dims + 2), 16)) * sizeof(float);
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
  // Calls f(tiles of rows, sequence) unless the task's rows lie beyond its sequence.
  template <class F>
  void with_tiles(int64_t task, int32_t thread, F&& f) const {
    // Under a causal mask the last rows have the most keys: they go first, so that no thread ends
    // with them.
    const int64_t tile = tasks_.tiles - 1 - task / tasks_.columns, column = task % tasks_.columns;
    const int64_t groups = c_.stacks() / tasks_.together;
    const Sequence s = sequence(c_.a, c_.p, column / groups);
    const int64_t begin = tile * tasks_.rows,
                  end = std::min(begin + tasks_.rows, s.q_len * c_.stack);
    if (begin >= end) return;
    Worker worker{};
    worker.lay_out(scratch_.of(thread), c_.sizes);
    const int64_t first = column % groups * tasks_.together;
    if (!c_.narrow(s)) {  // one after the other: each may want all of the memory
      for (int64_t n = 0; n < tasks_.together; ++n) {
        RowTiles tiles(c_, worker, s, begin, end);
        tiles.add(first + n);
        f(tiles, s, n);
      }
      return;
    }
    RowTiles tiles(c_, worker, s, begin, end);
    for (int64_t n = 0; n < tasks_.together; ++n) tiles.add(first + n);
    f(tiles, s, 0);
  }

  void whole_tile(int64_t task, int32_t thread) const {
    with_tiles(task, thread, [&](RowTiles& tiles, const Sequence& s, int64_t) {
      const KeyRange visible = tiles.visible();
      const SplitPlan plan = split_of(c_, s, visible);
      for (int64_t n = plan.first; n < plan.end; ++n) {
        tiles.attend(plan.part(n, visible));
        if (plan.count() > 1) gather(tiles, n == plan.first);
      }
      finish(tiles, plan);
    });
  }

  void one_part(int64_t task, int32_t thread) const {
    with_tiles(task / tasks_.parts, thread, [&](RowTiles& tiles, const Sequence& s, int64_t first) {
      const KeyRange visible = tiles.visible();
      const SplitPlan plan = split_of(c_, s, visible);
      const int64_t n = plan.first + task % tasks_.parts;
      if (n >= plan.end) return;
      tiles.attend(plan.part(n, visible));
      if (plan.count() == 1) return finish(tiles, plan);
      for (int64_t h = 0; h < tiles.count(); ++h)
        copy(record(task, first + h), tiles.state(h), tiles.rows(), c_.sizes.v_dims);
    });
  }

  void join_parts(int64_t task, int32_t thread) const {
    with_tiles(task, thread, [&](RowTiles& tiles, const Sequence& s, int64_t first) {
      const SplitPlan plan = split_of(c_, s, tiles.visible());
      if (plan.count() <= 1) return;
      for (int64_t n = 0; n < plan.count(); ++n)
        for (int64_t h = 0; h < tiles.count(); ++h)
          (n == 0 ? copy : fold)(tiles.folded(h), record(task * tasks_.parts + n, first + h),
                                 tiles.rows(), c_.sizes.v_dims);
      finish(tiles, plan);
    });
  }

  // Adds the part at hand to those before it.
  void gather(RowTiles& tiles, bool first) const {
    for (int64_t h = 0; h < tiles.count(); ++h)
      if (first)
        tiles.swap_state(h);
      else
        fold(tiles.folded(h), tiles.state(h), tiles.rows(), c_.sizes.v_dims);
  }

  void finish(RowTiles& tiles, const SplitPlan& plan) const {
    if (plan.count() > 1)
      for (int64_t h = 0; h < tiles.count(); ++h) tiles.swap_state(h);
    tiles.finish();
  }

  // Where part `task` leaves the state of its n-th stack until all parts are there.
  RowState record(int64_t task, int64_t n) const {
    const int64_t number = task * tasks_.together + n;
    std::byte* at = scratch_.of(static_cast<int32_t>(number % workers_)) + memory_.worker +
                    memory_.record * static_cast<uint64_t>(number / workers_);
    auto* m = reinterpret_cast<float*>(at);
    return {m, m + memory_.rows, m + 2 * memory_.rows};
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

namespace {

// Whether narrow tiles read this cache of bytes where it lies (isa/bytes-inl.h): packed ones hold
// pairs, whose scale cannot be told from theirs. Of ragged rows the lengths are not known here.
bool reads_bytes(const AttentionArgs& a) {
  const auto bytes_or_bf16 = [](const TensorView& t) {
    return t.dtype == DType::kBF16 || size_bytes(t.dtype) == 1;
  };
  const CallShape s = call_shape(a);
  return has_byte_lookup() && bytes_or_bf16(a.k) && bytes_or_bf16(a.v) && !must_stage(a) &&
         !s.ragged && a.q.dim(1) * s.group() <= kNarrowRows;
}

}  // namespace

Status tiles_take(const TileOps& ops, const AttentionArgs& a) {
  if (ops.word_values == 1) return {};
  if (a.q.dtype != DType::kBF16)
    return {ErrorCode::kUnsupported, "q dtype is not bf16, which this kernel's dot products take",
            0};
  // Weights are rounded to bf16 and their sum is not: an output in f32 would show it.
  if (a.out.dtype != DType::kBF16)
    return {ErrorCode::kUnsupported,
            "out dtype is f32, expected bf16, to which weights are rounded", 0};
  if ((a.k.dtype != DType::kBF16 || a.v.dtype != DType::kBF16) && !reads_bytes(a))
    return {ErrorCode::kUnsupported,
            "k and v are a cache of another dtype than bf16, which this kernel's dot products take "
            "of a few dense rows alone, and with AVX-512 VBMI",
            0};
  return {};
}

const TileOps& best_tile_ops(const AttentionArgs& a) {
#if defined(__x86_64__)
  if (available(Isa::kAmxBf16) && tiles_take(kAmxBf16Ops, a)) return kAmxBf16Ops;
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
