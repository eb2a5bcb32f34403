// flash/native: exact attention, tile by tile, with an online softmax; no score matrix ever exists.
//
//   task      one sequence x one kv head x one tile of query rows. The rows of all query heads that
//             read this kv head are stacked, row r = (position r / group, head r % group), so that
//             a packed key serves them all.
//   per step  up to 256 keys: K packed transposed, S = Q K^T, softmax row by row, V packed,
//             O = O * f + S V
//   cost      2 (head_dim + v_dim) FLOP a visible pair; packing is 1 / rows of that; keys that no
//             row of a register tile may see are skipped in whole groups
//   memory    one Worker a thread (flash_worker.h), whatever the sequence lengths
//   bits      key tiles begin at multiples of their size: a row's result does not depend on the
//             rows beside it, its batch or the number of threads
//   inside    the arithmetic is in isa/tile-inl.h, once for every instruction set; what a mask
//             means is in ops/common/mask.h
#include <algorithm>
#include <cmath>
#include <cstring>

#include "attend/registry.h"
#include "backends/native/convert.h"
#include "backends/native/cpu_features.h"
#include "backends/native/flash_worker.h"
#include "backends/native/isa/tile_ops.h"
#include "backends/native/kernels.h"
#include "backends/native/key_words.h"
#include "backends/native/scratch.h"
#include "backends/native/thread_pool.h"
#include "ops/common/layout.h"
#include "ops/common/online_softmax.h"

namespace attend::native {
namespace {

// One call: what every task reads.
struct Call {
  const TileOps& ops;
  const AttentionArgs& a;
  const AttentionParams& p;
  CallShape shape;
  TileSizes sizes;

  Call(const TileOps& o, const AttentionArgs& args, const AttentionParams& params)
      : ops(o), a(args), p(params), shape(call_shape(args)), sizes(o, shape) {}
};

// One task: a tile of stacked query rows against all keys that they may see.
class RowTile {
 public:
  RowTile(const Call& call, const Worker& worker, const Sequence& sequence, int64_t kv_head,
          int64_t row_begin, int64_t row_end)
      : c_(call),
        w_(worker),
        s_(sequence),
        kv_head_(kv_head),
        first_(row_begin),
        rows_(static_cast<int32_t>(row_end - row_begin)),
        group_(call.shape.group()),
        words_(call.p) {
    const TileOps& ops = c_.ops;
    t_.q = w_.q;
    t_.k = w_.k;
    t_.v = w_.v;
    t_.s = w_.s;
    t_.out = w_.out;
    t_.out_stride = t_.v_dims = static_cast<int32_t>(c_.sizes.v_dims);
    t_.panels = (rows_ + ops.row_step - 1) / ops.row_step;
    t_.last_rows = rows_ - (t_.panels - 1) * ops.row_step;
    t_.head_words = static_cast<int32_t>(c_.sizes.head_words);
    t_.scale = *c_.p.softmax_scale;
    t_.softcap = c_.p.softcap;
    t_.m = w_.m;
    t_.l = w_.l;
    t_.factor = w_.factor;
  }

  void attend() {
    start();
    const int64_t begin = s_.mask.keys(position(0)).begin,
                  end = s_.mask.keys(position(rows_ - 1)).end;
    const int32_t step = c_.sizes.keys;
    for (int64_t j0 = begin / step * step; j0 < end; j0 += step) {
      keys_ = static_cast<int32_t>(std::min<int64_t>(step, s_.k_len - j0));
      if (place_panels(j0)) attend_keys(j0, std::min<int64_t>(end, s_.k_len));
    }
    finish();
  }

 private:
  // Without a group there is nothing to divide, which short calls would feel.
  int64_t position(int64_t row) const {
    return group_ == 1 ? first_ + row : (first_ + row) / group_;
  }
  int64_t head(int64_t row) const {
    return group_ == 1 ? kv_head_ : kv_head_ * group_ + (first_ + row) % group_;
  }

  void start() {
    const RowsView q = rows_of(c_.a.q, s_.b, s_.q_first);
    for (int32_t r = 0; r < rows_; ++r) w_.q_rows[r] = q.at(position(r), head(r));
    c_.ops.pack_q({w_.q_rows, q.dim, elem_of(q.dtype)}, rows_,
                  static_cast<int32_t>(c_.shape.head_dim), w_.q);
    const int64_t padded = int64_t{t_.panels} * c_.ops.row_step;
    std::fill_n(w_.m, padded, -INFINITY);
    std::fill_n(w_.l, padded, 0.0f);
    std::fill_n(w_.factor, padded, 1.0f);
    std::fill_n(w_.out, padded * c_.sizes.v_dims, 0.0f);
  }

  // Finds which groups of keys of the tile at j0 each panel needs; false if none does.
  bool place_panels(int64_t j0) {
    const int32_t step = c_.ops.key_step;
    t_.keys = static_cast<int32_t>(round_up(keys_, step));
    bool any = false;
    for (int32_t p = 0; p < t_.panels; ++p) {
      const int64_t top = position(p * c_.ops.row_step);
      const int64_t bottom = position(std::min(rows_, (p + 1) * c_.ops.row_step) - 1);
      const bool skip = s_.mask.classify(top, bottom + 1, j0, j0 + keys_) == TileKind::kSkip;
      const int64_t begin = skip ? 0 : std::max<int64_t>(0, s_.mask.keys(top).begin - j0);
      const int64_t end = skip ? 0 : std::min<int64_t>(keys_, s_.mask.keys(bottom).end - j0);
      t_.key_begin[p] = static_cast<int32_t>(begin / step * step);
      t_.key_end[p] = static_cast<int32_t>(round_up(end, step));
      any |= begin < end;
    }
    return any;
  }

  // One step of the online softmax: the keys [j0, j0 + keys_). Keys up to `end` follow in later
  // steps.
  void attend_keys(int64_t j0, int64_t end) {
    const RowsView k = rows_of(c_.a.k, s_.b, s_.k_first), v = rows_of(c_.a.v, s_.b, s_.k_first);
    for (int32_t j = 0; j < keys_; ++j) {
      w_.k_rows[j] = k.at(j0 + j, kv_head_);
      w_.v_rows[j] = v.at(j0 + j, kv_head_);
    }
    c_.ops.pack_k({w_.k_rows, k.dim, elem_of(k.dtype)}, keys_,
                  static_cast<int32_t>(c_.shape.head_dim), w_.k);
    c_.ops.scores(t_);
    const int32_t* seen = weigh(j0, end);
    c_.ops.pack_v({w_.v_rows, v.dim, elem_of(v.dtype)}, keys_, static_cast<int32_t>(c_.shape.v_dim),
                  seen, w_.v);
    c_.ops.accumulate(t_);
  }

  // Scores to weights. Returns which keys some row sees, or null when all are: the others' values
  // are not read.
  const int32_t* weigh(int64_t j0, int64_t end) {
    const bool slopes = static_cast<bool>(c_.p.alibi_slopes),
               elementwise = static_cast<bool>(words_);
    const int64_t top = position(0), bottom = position(rows_ - 1);
    const bool full =
        keys_ == t_.keys && s_.mask.classify(top, bottom + 1, j0, j0 + keys_) == TileKind::kFull;
    if (full && !slopes && !elementwise) {
      for (int32_t p = 0; p < t_.panels; ++p) {
        c_.ops.softmax(t_, p * c_.ops.row_step, std::min(rows_, (p + 1) * c_.ops.row_step),
                       nullptr);
        // While the softmax leaves the memory idle: the next tile's K and V.
        const int64_t next = j0 + keys_, next_end = std::min(next + c_.sizes.keys, end);
        prefetch(c_.a.k, next, next_end, p);
        prefetch(c_.a.v, next, next_end, p);
      }
      return nullptr;
    }
    if (elementwise) {
      std::fill_n(w_.seen, t_.keys, 0);
      words_.start_tile(w_, s_, j0, keys_, t_.keys);
    } else {
      mark_seen(j0, top, bottom);
    }
    for (int32_t r = 0; r < rows_; ++r) {
      const KeyRange keys = s_.mask.keys(position(r));
      const int32_t panel = r / c_.ops.row_step;
      TileRow row{};
      row.begin = static_cast<int32_t>(std::clamp<int64_t>(keys.begin - j0, 0, keys_));
      row.end = static_cast<int32_t>(std::clamp<int64_t>(keys.end - j0, 0, keys_));
      row.hole_begin = static_cast<int32_t>(std::clamp<int64_t>(s_.mask.hole_begin - j0, 0, keys_));
      row.hole_end = static_cast<int32_t>(std::clamp<int64_t>(s_.mask.hole_end - j0, 0, keys_));
      const bool plain = row.begin <= t_.key_begin[panel] && row.end >= t_.key_end[panel] &&
                         row.hole_begin >= row.hole_end && !slopes && !elementwise;
      if (!plain) load_words(row, r, j0);
      c_.ops.softmax(t_, r, r + 1, plain ? nullptr : &row);
    }
    return w_.seen;
  }

  // Asks for panel p's share of keys [begin, end): rows of a head lie a page or more apart, where
  // the hardware's own prefetch does not follow.
  void prefetch(const TensorView& t, int64_t begin, int64_t end, int32_t p) {
    const RowsView rows = rows_of(t, s_.b, s_.k_first);
    const int64_t bytes = rows.dim == 1 ? t.dim(-1) * size_bytes(t.dtype) : 0, count = end - begin;
    for (int64_t j = begin + count * p / t_.panels; j < begin + count * (p + 1) / t_.panels; ++j)
      for (int64_t line = 0; line < bytes; line += 64)
        __builtin_prefetch(rows.at(j, kv_head_) + line, 0, 2);
  }

  // Ranges alone: every key between the first row's begin and the last row's end is seen, the hole
  // is not.
  void mark_seen(int64_t j0, int64_t top, int64_t bottom) {
    const KeyRange first = s_.mask.keys(top), last = s_.mask.keys(bottom);
    for (int32_t j = 0; j < keys_; ++j)
      w_.seen[j] = j0 + j >= first.begin && j0 + j < last.end && !s_.mask.in_hole(j0 + j);
  }

  void load_words(TileRow& row, int32_t r, int64_t j0) {
    const int64_t i = position(r), h = head(r);
    if (c_.p.alibi_slopes) {
      row.slope = alibi_slope(c_.p.alibi_slopes, s_.b, h);
      row.position = static_cast<float>(i + s_.mask.d - j0);
    }
    if (!words_) return;
    row.seen = w_.seen;
    words_.load_row(w_, s_, h, i, row);
  }

  // Sinks, the division by the sum, and the rows' way out.
  void finish() {
    const RowsView out = rows_of(c_.a.out, s_.b, s_.q_first);
    for (int32_t r = 0; r < rows_; ++r) {
      const int64_t i = position(r), h = head(r);
      OnlineSoftmax row{w_.m[r], w_.l[r]};
      float* acc = w_.out + r * c_.sizes.v_dims;
      // No visible key: 0 whatever other rows of the tile have put beside it.
      if (row.l == 0.0f) std::fill_n(acc, c_.shape.v_dim, 0.0f);
      float factor = 1.0f;
      for (int64_t n = 0; n < sink_count(c_.p.sinks); ++n)
        factor *= row.admit_sink(sink_logit(c_.p.sinks, h, n));
      c_.ops.store(acc, factor * row.inverse_sum(), static_cast<int32_t>(c_.shape.v_dim),
                   out.at(i, h), out.dim, elem_of(out.dtype));
      if (c_.a.lse) {
        const RowsView lse = lse_rows_of(c_.a.lse, s_.b, s_.q_first);
        store(lse.at(i, h), DType::kF32, row.lse());
      }
    }
  }

  const Call& c_;
  const Worker& w_;
  const Sequence& s_;
  const int64_t kv_head_, first_;
  const int32_t rows_;
  const int64_t group_;
  int32_t keys_ = 0;  // keys of the current tile
  KeyWords words_;
  Tile t_{};
};

// Rows of a tile: as many as fit, fewer when that would leave threads without a task. Results do
// not depend on it.
int64_t rows_per_tile(const Call& c, int64_t longest, int32_t workers) {
  int64_t panels = c.sizes.rows / c.ops.row_step;
  const int64_t rows = longest * c.shape.group();
  while (panels > 2 &&
         c.shape.batch * c.shape.kv_heads * ((rows - 1) / (panels * c.ops.row_step) + 1) <
             3 * workers)
    panels /= 2;
  return panels * c.ops.row_step;
}

Status run_flash(const TileOps& ops, const AttentionArgs& a, const AttentionParams& p,
                 const ExecContext& context) {
  const Call call(ops, a, p);
  int64_t longest = 0;
  for (int64_t b = 0; b < call.shape.batch; ++b)
    longest = std::max(longest, sequence(a, p, b).q_len);
  if (longest == 0 || call.shape.heads == 0) return {};

  const int64_t rows = rows_per_tile(call, longest, worker_count(context, INT64_MAX));
  const int64_t tiles = (longest * call.shape.group() - 1) / rows + 1;
  const int64_t columns = call.shape.batch * call.shape.kv_heads;
  const int32_t workers = worker_count(context, tiles * columns);
  const Scratch scratch(context, bytes_per_worker(ops, a), workers);
  if (!scratch) return {ErrorCode::kOutOfMemory, "scratch memory is not to be had", 0};

  parallel(context, workers, tiles * columns, [&](int64_t task, int32_t thread) {
    // Under a causal mask the last rows have the most keys: they go first, so that no thread ends
    // with them.
    const int64_t tile = tiles - 1 - task / columns, column = task % columns;
    const Sequence s = sequence(a, p, column / call.shape.kv_heads);
    const int64_t begin = tile * rows, end = std::min(begin + rows, s.q_len * call.shape.group());
    if (begin >= end) return;
    Worker worker{};
    worker.lay_out(scratch.of(thread), call.sizes);
    RowTile(call, worker, s, column % call.shape.kv_heads, begin, end).attend();
  });
  return {};
}

template <Isa isa, const TileOps& ops>
struct FlashRow {
  static Status available(const Device&) { return native::available(isa); }
  static Status supports(const AttentionArgs& a, const AttentionParams&, const Device&) {
    if (const Status s = native::available(isa); !s) return s;
    if (ops.word_values == 2 && a.q.dtype != DType::kBF16)
      return {ErrorCode::kUnsupported, "q dtype is not bf16, which this kernel's dot products take",
              0};
    return {};
  }
  static uint64_t workspace_bytes(const AttentionArgs& a, const AttentionParams&, int32_t workers) {
    return Scratch::bytes(bytes_per_worker(ops, a), workers);
  }
  static Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
    return run_flash(ops, a, p, context);
  }
  static AttentionKernel entry(const char* name, const char* summary, int32_t priority) {
    return {OpId::kFlash, DeviceType::kNative, name, summary, priority, available,
            supports,     workspace_bytes,     run};
  }
};

}  // namespace

void add_flash(Registry& registry) {
  registry.add(FlashRow<Isa::kPortable, kPortableOps>::entry(
      "flash/native/portable",
      "f32 f16 bf16; dense, ragged; every mask and score word; lse; any CPU", 0));
#if defined(__x86_64__)
  registry.add(FlashRow<Isa::kAvx2, kAvx2Ops>::entry(
      "flash/native/avx2",
      "f32 f16 bf16; dense, ragged; every mask and score word; lse; AVX2 with FMA", 10));
  registry.add(FlashRow<Isa::kAvx512, kAvx512Ops>::entry(
      "flash/native/avx512", "f32 f16 bf16; dense, ragged; every mask and score word; lse; AVX-512",
      20));
  registry.add(FlashRow<Isa::kAvx512Bf16, kAvx512Bf16Ops>::entry(
      "flash/native/avx512_bf16",
      "bf16; dense, ragged; every mask and score word; lse; AVX-512 BF16 dot products",
      bf16_dot_products_pay() ? 30 : 15));
#endif
}

}  // namespace attend::native
