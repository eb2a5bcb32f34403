// sdpa/native/onednn: the frameworks' attention over oneDNN's graph interface.
//
//   task      one sequence x one kv head x one block of query rows: the query heads that read this
//             kv head are the batch of oneDNN's products, so that k and v are read where they lie
//   per task  scores = q k^T * scale, all keys at once; softmax; out = weights v (onednn_plan.h).
//             Where keys are hidden or a bias is given, the graph is cut at the scores and the words
//             are applied between its halves (sdpa_scores.h).
//   rows      as many as keep a task's scores within kScoreBytes: they are written and read again
//             from a near cache and there is never more of them than threads x that
//   causal    a block multiplies with the keys up to its last row's, rounded up to an eighth of all,
//             so that few graphs serve a call
//   threads   every task runs on one thread, attend's own or the embedding program's; oneDNN starts
//             none. Its task's shape depends on the call's own lengths alone: neither threads nor
//             batch change a bit. With oneDNN over TBB or SYCL, whose threads cannot be held back,
//             tasks run one after another.
//   hidden v  with keep or bias a task's v is copied, zeros where no row of the task sees the key:
//             a weight of 0 times NaN would be NaN
//   lost      oneDNN's own Select: 3.2 has none, 3.13 runs it at 7 GFLOP/s of 100
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#include "attend/kernel.h"
#include "attend/registry.h"
#include "backends/native/onednn_plan.h"
#include "backends/native/scratch.h"
#include "backends/native/sdpa.h"
#include "backends/native/sdpa_scores.h"
#include "backends/native/thread_pool.h"
#include "ops/common/layout.h"

namespace attend::native {
namespace {

// More rows a task save packing k and v anew (4096 keys, bf16, one thread: 62 GFLOP/s with 0.5 MiB,
// 91 with 1, 110 with 4), fewer skip more of a causal call (512 keys: 149 with 128 x 4 heads, 126
// with 256 x 4).
constexpr int64_t kScoreBytes = 4 << 20;
constexpr int64_t kRowStep = 32, kMostRows = 256, kMostStacked = 512;
constexpr int64_t kKeyParts = 8, kKeyStep = 64;

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
uint64_t aligned(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

// The call cut into tasks. Nothing here depends on threads or on other sequences.
struct Blocks {
  CallShape shape;
  int64_t rows = 0;  // of q; a block has block_rows, the last one the rest
  int64_t keys = 0;  // that some row sees
  int64_t block_rows = 1, key_step = 1;
  bool words = false;  // keys are hidden or biased
  bool copy_v = false;
  RowMask mask;

  Blocks(const AttentionArgs& a, const AttentionParams& p) : shape(call_shape(a)) {
    rows = a.q.dim(1);
    copy_v = p.mask.keep || p.bias;
    words = copy_v || p.mask.causal;
    if (shape.batch == 0 || shape.heads == 0 || rows == 0) return;
    mask = sequence(a, p, 0).mask;  // the words that this row takes are the same for all
    keys = std::clamp<int64_t>(mask.keys(rows - 1).end, 0, a.k.dim(1));
    const int64_t stacked = std::min(kMostStacked, kScoreBytes / 4 / std::max<int64_t>(1, keys));
    const int64_t fit = std::min(kMostRows, stacked / shape.group());
    block_rows = std::min(rows, std::max(fit / kRowStep, int64_t{1}) * kRowStep);
    key_step = std::max(kKeyStep, round_up((keys + kKeyParts - 1) / kKeyParts, kKeyStep));
  }

  int64_t count() const { return rows == 0 ? 0 : (rows - 1) / block_rows + 1; }
  int64_t rows_of(int64_t block) const { return std::min(block_rows, rows - block * block_rows); }
  // 0: no row of the block sees any.
  int64_t keys_of(int64_t block) const {
    const int64_t end = mask.keys(block * block_rows + rows_of(block) - 1).end;
    return end <= 0 ? 0 : std::min(keys, round_up(std::min(end, keys), key_step));
  }

  PlanKey plan_key(const AttentionArgs& a, int64_t of_rows, int64_t of_keys) const {
    PlanKey key;
    key.dtype = a.q.dtype;
    key.cut = words;
    key.heads = shape.group();
    key.rows = of_rows;
    key.keys = of_keys;
    key.head_dim = shape.head_dim;
    key.v_dim = shape.v_dim;
    // Strides of a dimension of one element say nothing and would only multiply plans.
    key.q_head = key.heads == 1 ? 0 : a.q.step(2);
    key.q_row = a.q.step(1);
    key.k_row = a.k.step(1);
    key.v_row = copy_v ? shape.v_dim : a.v.step(1);
    key.out_head = key.heads == 1 ? 0 : a.out.step(2);
    key.out_row = a.out.step(1);
    return key;
  }
};

// The plans of a call: blocks of one size differ in their keys alone, and only in kKeyParts ways.
class Plans {
 public:
  Plans(const Blocks& blocks, const AttentionArgs& a) {
    if (blocks.shape.batch == 0 || blocks.shape.heads == 0) return;
    for (int64_t n = 0; n < blocks.count(); ++n) {
      const int64_t rows = blocks.rows_of(n), keys = blocks.keys_of(n);
      if (keys == 0 || find(rows, keys) != nullptr) continue;
      Entry& e = entries_[count_++];
      e = {rows, keys, plan_for(blocks.plan_key(a, rows, keys))};
      status_ = e.plan->status();
      if (!status_) return;
      scratch_bytes_ = std::max(scratch_bytes_, aligned(e.plan->scratch_bytes()));
    }
  }
  const Status& status() const { return status_; }
  uint64_t scratch_bytes() const { return scratch_bytes_; }
  const Plan* find(int64_t rows, int64_t keys) const {
    for (int64_t n = 0; n < count_; ++n)
      if (entries_[n].rows == rows && entries_[n].keys == keys) return entries_[n].plan.get();
    return nullptr;
  }

 private:
  // Full blocks have keys in whole steps, or all of them; the last block may be shorter.
  static constexpr int64_t kMost = kKeyParts + 1;
  struct Entry {
    int64_t rows = 0, keys = 0;
    std::shared_ptr<const Plan> plan;
  };

  Status status_;
  uint64_t scratch_bytes_ = 0;
  int64_t count_ = 0;
  Entry entries_[kMost];
};

// Scratch of a worker: the plan's, then the words' vectors, then v's copy.
struct WorkerBytes {
  uint64_t plan, words = 0, v = 0;
  WorkerBytes(const Blocks& b, const Plans& plans, DType dtype) : plan(plans.scratch_bytes()) {
    if (b.words) words = aligned(ScoreWords::bytes({0, b.shape.group(), 0, b.block_rows, b.keys}));
    if (b.copy_v) v = aligned(static_cast<uint64_t>(b.keys * b.shape.v_dim * size_bytes(dtype)));
  }
  uint64_t all() const { return plan + words + v; }
};

void fill_zero(const RowsView& out, int64_t row, int64_t head, int64_t dim) {
  std::memset(out.at(row, head), 0, static_cast<size_t>(dim * size_bytes(out.dtype)));
}

// One task.
dnnl_status_t attend_block(const Blocks& blocks, const Plans& plans, const AttentionArgs& a,
                           const AttentionParams& p, int64_t b, int64_t kv_head, int64_t block,
                           const WorkerBytes& sizes, std::byte* scratch) {
  const Sequence s = sequence(a, p, b);
  const int64_t group = blocks.shape.group(), head = kv_head * group, v_dim = blocks.shape.v_dim;
  const ScoreWords::Block part{head, group, block * blocks.block_rows, blocks.rows_of(block),
                               blocks.keys_of(block)};
  const RowsView q = rows_of(a.q, b, 0), k = rows_of(a.k, b, 0), v = rows_of(a.v, b, 0),
                 out = rows_of(a.out, b, 0);
  const auto clear_row = [&](int64_t r, int64_t h) {
    fill_zero(out, part.row + r, head + h, v_dim);
  };
  if (part.keys == 0) {
    for (int64_t h = 0; h < group; ++h)
      for (int64_t r = 0; r < part.rows; ++r) clear_row(r, h);
    return dnnl_success;
  }

  Plan::Data data;
  data.q = q.at(part.row, head);
  data.k = k.at(0, kv_head);
  data.v = v.at(0, kv_head);
  data.out = out.at(part.row, head);
  data.scratch = scratch;
  data.scale = *p.softmax_scale;
  ScoreWords words(p, s, part, scratch + sizes.plan);
  std::byte* const copy = scratch + sizes.plan + sizes.words;
  if (blocks.copy_v) data.v = copy;
  const dnnl_status_t status = plans.find(part.rows, part.keys)->run(data, [&](float* scores) {
    words.apply(scores);
    if (!blocks.copy_v) return;
    const auto bytes = static_cast<size_t>(v_dim * size_bytes(a.v.dtype));
    for (int64_t j = 0; j < part.keys; ++j) {
      if (words.seen(j))
        std::memcpy(copy + static_cast<size_t>(j) * bytes, v.at(j, kv_head), bytes);
      else
        std::memset(copy + static_cast<size_t>(j) * bytes, 0, bytes);
    }
  });
  if (status != dnnl_success || !blocks.words) return status;
  for (int64_t h = 0; h < group; ++h)
    for (int64_t r = 0; r < part.rows; ++r)
      if (words.empty(h, r)) clear_row(r, h);
  return dnnl_success;
}

Status available(const Device&) { return OneDnn::get().status; }

struct Refusal {
  bool when;
  const char* why;
  int64_t detail = 0;
};

// What this row does not compute, by name. The words that only other operators have are gone.
Status refuse_words(const AttentionArgs& a, const AttentionParams& p) {
  const MaskSpec& m = p.mask;
  const Refusal column[] = {
      {a.q.rank != 4, "cu_seqlens_q is given, expected dense tensors"},
      {bool(a.seq.seqused_q), "seqused_q is given, expected all rows in use"},
      {bool(a.seq.seqused_k), "seqused_k is given, expected all keys in use"},
      {bool(a.lse), "lse is asked for, expected none, as oneDNN's graph keeps it to itself"},
      {bool(p.sinks), "sinks are given, expected none"},
      {p.softcap > 0.0f, "softcap is set, expected 0 (off)"},
      {bool(p.alibi_slopes), "alibi_slopes are given, expected none; a bias can hold them"},
      {m.block_size > 0 && !m.causal, "block_size is {}, expected 0 (off)", m.block_size},
      {m.window_left >= 0, "window_left is {}, expected -1 (unlimited)", m.window_left},
      {m.window_right >= 0, "window_right is {}, expected -1 (unlimited)", m.window_right},
      {bool(m.q_start), "q_start is given, expected none"},
      {bool(m.prefix_lens), "prefix_lens is given, expected none"},
      {bool(m.hole_starts), "hole_starts is given, expected none"},
      {bool(m.q_segment_ids), "q_segment_ids is given, expected none"},
      {a.out.dtype != a.q.dtype, "out dtype is f32, expected that of q"},
  };
  for (const Refusal& r : column)
    if (r.when) return {ErrorCode::kUnsupported, r.why, r.detail};
  return {};
}

// oneDNN reads and writes rows whose elements are adjacent and that do not overlap; sequences and
// kv heads may lie anywhere, as each has calls of its own.
Status refuse_strides(const AttentionArgs& a) {
  const int64_t d = a.q.dim(-1), dv = a.v.dim(-1), group = call_shape(a).group();
  const auto apart = [](const TensorView& t, int i, int64_t want) {
    return t.dim(i) > 1 && t.step(i) < want;
  };
  const Refusal column[] = {
      {d > 1 && a.q.step(-1) != 1, "q stride 3 is {}, expected 1", a.q.step(-1)},
      {d > 1 && a.k.step(-1) != 1, "k stride 3 is {}, expected 1", a.k.step(-1)},
      {dv > 1 && a.v.step(-1) != 1, "v stride 3 is {}, expected 1", a.v.step(-1)},
      {dv > 1 && a.out.step(-1) != 1, "out stride 3 is {}, expected 1", a.out.step(-1)},
      {apart(a.q, 1, d), "q stride 1 is {}, expected head_dim or more", a.q.step(1)},
      {apart(a.k, 1, d), "k stride 1 is {}, expected head_dim or more", a.k.step(1)},
      {apart(a.v, 1, dv), "v stride 1 is {}, expected v_dim or more", a.v.step(1)},
      {apart(a.out, 1, dv), "out stride 1 is {}, expected v_dim or more", a.out.step(1)},
      {group > 1 && apart(a.q, 2, d),
       "q stride 2 is {}, expected head_dim or more where heads share keys", a.q.step(2)},
      {group > 1 && apart(a.out, 2, dv),
       "out stride 2 is {}, expected v_dim or more where heads share keys", a.out.step(2)},
  };
  for (const Refusal& r : column)
    if (r.when) return {ErrorCode::kUnsupported, r.why, r.detail};
  return {};
}

Status supports(const AttentionArgs& a, const AttentionParams& p, const Device& device) {
  if (const Status s = refuse_words(a, p); !s) return s;
  if (const Status s = available(device); !s) return s;
  if (const Status s = refuse_strides(a); !s) return s;
  try {
    return Plans(Blocks(a, p), a).status();
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "memory for oneDNN's graphs is not to be had", 0};
  }
}

uint64_t workspace_bytes(const AttentionArgs& a, const AttentionParams& p, int32_t workers) {
  if (!supports(a, p, a.q.device)) return 0;
  if (OneDnn::get().own_threads) workers = 1;
  const Blocks blocks(a, p);
  return Scratch::bytes(WorkerBytes(blocks, Plans(blocks, a), a.v.dtype).all(), workers);
}

Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
  const Blocks blocks(a, p);
  const int64_t columns = blocks.shape.batch * blocks.shape.kv_heads;
  const int64_t count = blocks.count(), tasks = count * columns;
  if (tasks == 0) return {};
  const Plans plans(blocks, a);
  if (!plans.status()) return plans.status();

  const OneDnn& dnn = OneDnn::get();
  const int32_t workers = dnn.own_threads ? 1 : worker_count(context, tasks);
  const WorkerBytes sizes(blocks, plans, a.v.dtype);
  const Scratch scratch(context, sizes.all(), workers);
  if (!scratch) return {ErrorCode::kOutOfMemory, "scratch memory is not to be had", 0};

  std::atomic<int> failed{dnnl_success};
  const auto task = [&](int64_t n, int32_t worker) {
    // The last rows of a causal call have the most keys: they go first.
    const int64_t block = count - 1 - n / columns, column = n % columns;
    const OnThisThread only(dnn);
    const dnnl_status_t s =
        attend_block(blocks, plans, a, p, column / blocks.shape.kv_heads,
                     column % blocks.shape.kv_heads, block, sizes, scratch.of(worker));
    if (s != dnnl_success) failed.store(s, std::memory_order_relaxed);
  };
  if (dnn.own_threads)
    for (int64_t n = 0; n < tasks; ++n) task(n, 0);
  else
    parallel(context, workers, tasks, task);
  if (failed != dnnl_success)
    return {ErrorCode::kDeviceError, "oneDNN failed, its status is {}", failed.load()};
  return {};
}

}  // namespace

void add_sdpa_onednn(Registry& registry) {
  registry.add(AttentionKernel{
      OpId::kSdpa, DeviceType::kNative, "sdpa/native/onednn",
      "f32 bf16, f16 where the CPU multiplies it; dense; causal, keep, bias; oneDNN 3.2 or newer",
      20, available, supports, workspace_bytes, run});
}

}  // namespace attend::native
