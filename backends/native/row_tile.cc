#include "backends/native/row_tile.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/common/online_softmax.h"

namespace attend::native {

RowTile::RowTile(const TileCall& call, const Worker& worker, const Sequence& sequence,
                 int64_t stack, int64_t row_begin, int64_t row_end)
    : c_(call),
      w_(worker),
      s_(sequence),
      kv_head_(stack * call.stack / call.shape.group()),
      first_head_(stack * call.stack),
      stack_(call.stack),
      first_(row_begin),
      rows_(static_cast<int32_t>(row_end - row_begin)),
      // By the sequence, not by the tile, whose rows follow the number of threads.
      narrow_(sequence.q_len * call.stack <= std::min(kNarrowRows, call.ops.row_step)),
      k_rows_(call.a, sequence, kv_head_, call.a.k, call.a.k_new, call.a.k_descale),
      v_rows_(call.a, sequence, kv_head_, call.a.v, call.a.v_new, call.a.v_descale),
      words_(call.p) {
  const TileOps& ops = c_.ops;
  t_.q = w_.q;
  t_.k = w_.k;
  t_.v = w_.v;
  t_.s = w_.s;
  t_.out = w_.state.out;
  t_.out_stride = t_.v_dims = static_cast<int32_t>(c_.sizes.v_dims);
  t_.panels = (rows_ + ops.row_step - 1) / ops.row_step;
  t_.last_rows = rows_ - (t_.panels - 1) * ops.row_step;
  t_.head_words = static_cast<int32_t>(c_.sizes.head_words);
  t_.scale = *c_.p.softmax_scale;
  t_.softcap = c_.p.softcap;
  t_.m = w_.state.m;
  t_.l = w_.state.l;
  t_.factor = w_.factor;

  const RowsView q = rows_of(c_.a.q, s_.b, s_.q_first);
  for (int32_t r = 0; r < rows_; ++r) w_.q_rows[r] = q.at(position(r), head(r));
  (narrow_ ? ops.pack_q_narrow : ops.pack_q)({w_.q_rows, q.dim, elem_of(q.dtype), 1.0f}, rows_,
                                             static_cast<int32_t>(c_.shape.head_dim), w_.q);
}

// Without a stack there is nothing to divide, which short calls would feel.
int64_t RowTile::position(int64_t row) const {
  return stack_ == 1 ? first_ + row : (first_ + row) / stack_;
}
int64_t RowTile::head(int64_t row) const {
  return stack_ == 1 ? first_head_ : first_head_ + (first_ + row) % stack_;
}

KeyRange RowTile::visible() const {
  return {s_.mask.keys(position(0)).begin, s_.mask.keys(position(rows_ - 1)).end};
}

void RowTile::clear() {
  const int64_t padded = int64_t{t_.panels} * c_.ops.row_step;
  std::fill_n(t_.m, padded, -INFINITY);
  std::fill_n(t_.l, padded, 0.0f);
  std::fill_n(t_.factor, padded, 1.0f);
  std::fill_n(t_.out, padded * c_.sizes.v_dims, 0.0f);
}

void RowTile::attend(KeyRange range) {
  clear();
  range_ = range;
  const int32_t step = c_.keys;
  for (int64_t j0 = range.begin / step * step; j0 < range.end; j0 += step) {
    keys_ = static_cast<int32_t>(std::min<int64_t>(step, s_.k_len - j0));
    kind_ = planned(j0);
    if (kind_ != TileKind::kSkip && place_panels(j0)) attend_keys(j0);
  }
}

// What the plan says of the tile at j0: these rows lie in one row of its tiles.
TileKind RowTile::planned(int64_t j0) const {
  if (c_.use.plan == nullptr) return TileKind::kPartial;
  return c_.use.plan->kind(s_.b, first_head_, position(0) / c_.use.plan->shape().rows,
                           j0 / c_.keys);
}

// Finds which groups of keys of the tile at j0 each panel needs; false if none does.
bool RowTile::place_panels(int64_t j0) {
  const int32_t step = c_.ops.key_step;
  t_.keys = static_cast<int32_t>(round_up(keys_, step));
  bool any = false;
  for (int32_t p = 0; p < t_.panels; ++p) {
    const int64_t top = position(p * c_.ops.row_step);
    const int64_t bottom = position(std::min(rows_, (p + 1) * c_.ops.row_step) - 1);
    const bool skip = s_.mask.classify(top, bottom + 1, j0, j0 + keys_) == TileKind::kSkip;
    const int64_t first = std::max(s_.mask.keys(top).begin, range_.begin),
                  last = std::min(s_.mask.keys(bottom).end, range_.end);
    const int64_t begin = skip ? 0 : std::max<int64_t>(0, first - j0);
    const int64_t end = skip ? 0 : std::min<int64_t>(keys_, last - j0);
    t_.key_begin[p] = static_cast<int32_t>(begin / step * step);
    t_.key_end[p] = static_cast<int32_t>(round_up(end, step));
    any |= begin < end;
  }
  return any;
}

// Addresses of the keys of the tile at j0 that some row may see; narrow tiles, which ask for memory
// ahead, also have those of the next. The others stay null: what stands there is never looked at,
// and in a page table it need not even name a page. Returns how many keys have an address or null.
int32_t RowTile::locate(const KeyRows& keys, int64_t j0, const void** rows) const {
  const KeyRange seen = visible();
  const int64_t begin = std::max(j0, std::max(seen.begin, range_.begin)),
                last = std::min(seen.end, range_.end),
                end = std::min(j0 + (narrow_ ? 2 * c_.keys : keys_), last);
  const auto known =
      static_cast<int32_t>(std::max<int64_t>(round_up(keys_, c_.ops.key_step), end - j0));
  std::fill_n(rows, known, nullptr);
  const int64_t hole_begin = std::clamp(s_.mask.hole_begin, begin, end),
                hole_end = std::clamp(s_.mask.hole_end, hole_begin, end);
  keys.locate(begin, hole_begin, rows + (begin - j0));
  keys.locate(hole_end, end, rows + (hole_end - j0));
  return known;
}

// One step of the online softmax: the keys [j0, j0 + keys_).
void RowTile::attend_keys(int64_t j0) {
  const auto head_dim = static_cast<int32_t>(c_.shape.head_dim),
             v_dim = static_cast<int32_t>(c_.shape.v_dim);
  t_.known = locate(k_rows_, j0, w_.k_rows);
  locate(v_rows_, j0, w_.v_rows);
  const RowPointers k = k_rows_.pointers(j0, j0 + keys_, w_.k_rows, head_dim, w_.staged, narrow_);
  if (narrow_) {
    c_.ops.scores_narrow(t_, k, head_dim);
  } else {
    c_.ops.pack_k(k, keys_, head_dim, w_.k);
    c_.ops.scores(t_);
  }
  const int32_t* seen = weigh(j0);
  const RowPointers v = v_rows_.pointers(j0, j0 + keys_, w_.v_rows, v_dim, w_.staged, narrow_);
  if (narrow_) {
    c_.ops.accumulate_narrow(t_, v, v_dim, seen);
  } else {
    c_.ops.pack_v(v, keys_, v_dim, seen, w_.v);
    c_.ops.accumulate(t_);
  }
}

// Scores to weights. Returns which keys some row sees, or null when all are: the others' values
// are not read.
const int32_t* RowTile::weigh(int64_t j0) {
  const bool slopes = static_cast<bool>(c_.p.alibi_slopes),
             elementwise = kind_ == TileKind::kFull ? static_cast<bool>(c_.p.bias)
                                                    : static_cast<bool>(words_),
             dropout = c_.use.dropout != nullptr;
  const int64_t top = position(0), bottom = position(rows_ - 1);
  const bool inside = range_.begin <= j0 && j0 + keys_ <= range_.end;
  const bool full = inside && keys_ == t_.keys &&
                    s_.mask.classify(top, bottom + 1, j0, j0 + keys_) == TileKind::kFull;
  if (full && !slopes && !elementwise && !dropout) {
    for (int32_t p = 0; p < t_.panels; ++p) {
      c_.ops.softmax(t_, p * c_.ops.row_step, std::min(rows_, (p + 1) * c_.ops.row_step), nullptr);
      if (narrow_) continue;
      // While the softmax leaves the memory idle: the next tile's K and V.
      const int64_t next = j0 + keys_, next_end = std::min(next + c_.keys, range_.end);
      prefetch(k_rows_, c_.shape.head_dim, next, next_end, p);
      prefetch(v_rows_, c_.shape.v_dim, next, next_end, p);
    }
    return nullptr;
  }
  if (elementwise) {
    std::fill_n(w_.seen, t_.keys, 0);
    words_.start_tile(w_, s_, j0, keys_, t_.keys);
  } else {
    mark_seen(j0);
  }
  const auto in_tile = [&](int64_t j) {
    return static_cast<int32_t>(std::clamp<int64_t>(j - j0, 0, keys_));
  };
  for (int32_t r = 0; r < rows_; ++r) {
    const KeyRange keys = s_.mask.keys(position(r));
    const int32_t panel = r / c_.ops.row_step;
    TileRow row{};
    row.begin = in_tile(std::max(keys.begin, range_.begin));
    row.end = in_tile(std::min(keys.end, range_.end));
    row.hole_begin = in_tile(s_.mask.hole_begin);
    row.hole_end = in_tile(s_.mask.hole_end);
    const bool plain = row.begin <= t_.key_begin[panel] && row.end >= t_.key_end[panel] &&
                       row.hole_begin >= row.hole_end && !slopes && !elementwise;
    if (!plain) load_words(row, r, j0);
    c_.ops.softmax(t_, r, r + 1, plain ? nullptr : &row);
    if (dropout) drop(r, j0);
  }
  return w_.seen;
}

// Asks for a panel's share of keys [begin, end): rows of a head lie a page or more apart, where the
// hardware's own prefetch does not follow.
void RowTile::prefetch(const KeyRows& keys, int64_t dim, int64_t begin, int64_t end,
                       int32_t panel) {
  const int64_t bytes = keys.row_bytes(dim), count = end - begin;
  if (bytes == 0 || count <= 0 || s_.mask.hole_begin < s_.mask.hole_end) return;
  const int64_t first = begin + count * panel / t_.panels,
                last = begin + count * (panel + 1) / t_.panels;
  const void* rows[kMaxKeys];
  keys.locate(first, last, rows);
  for (int64_t j = 0; j < last - first; ++j)
    for (int64_t line = 0; line < bytes; line += 64)
      __builtin_prefetch(static_cast<const std::byte*>(rows[j]) + line, 0, 2);
}

// Ranges alone: every key between the first row's begin and the last row's end is seen, the hole
// is not.
void RowTile::mark_seen(int64_t j0) {
  const KeyRange seen = visible();
  for (int32_t j = 0; j < keys_; ++j)
    w_.seen[j] = j0 + j >= seen.begin && j0 + j < seen.end && !s_.mask.in_hole(j0 + j);
}

void RowTile::load_words(TileRow& row, int32_t r, int64_t j0) {
  const int64_t i = position(r), h = head(r);
  if (c_.p.alibi_slopes) {
    row.slope = alibi_slope(c_.p.alibi_slopes, s_.b, h);
    row.position = static_cast<float>(i + s_.mask.d - j0);
  }
  if (kind_ == TileKind::kFull ? !c_.p.bias : !words_) return;
  row.seen = w_.seen;
  words_.load_row(w_, s_, h, i, row);
}

// Step 6 of the score order: the sum of weights stays what it was, and what 1 / (1 - p) adds comes
// with the division, so that a 16-bit weight is rounded once.
void RowTile::drop(int32_t r, int64_t j0) {
  const Dropout& dropout = *c_.use.dropout;
  const int64_t i = c_.use.first_row + position(r),
                head_number = c_.use.first_head + s_.b * c_.shape.heads + head(r);
  const size_t width = sizeof(float) / static_cast<size_t>(c_.ops.word_values);
  auto* weights = reinterpret_cast<std::byte*>(w_.s + int64_t{r} * kScoreStride);
  const int32_t panel = r / c_.ops.row_step, end = std::min(t_.key_end[panel], keys_);
  Philox4x32 words{};
  int64_t drawn = -1;
  for (int32_t n = t_.key_begin[panel]; n < end; ++n) {
    const int64_t j = c_.use.first_key + j0 + n;
    if (j / 4 != drawn) words = dropout.words(head_number, i, j);
    drawn = j / 4;
    if (!dropout.keeps(words, j)) std::memset(weights + static_cast<size_t>(n) * width, 0, width);
  }
}

void RowTile::finish() {
  const RowsView out = rows_of(c_.a.out, s_.b, s_.q_first);
  for (int32_t r = 0; r < rows_; ++r) {
    const int64_t i = position(r), h = head(r);
    OnlineSoftmax row{t_.m[r], t_.l[r]};
    float* acc = t_.out + r * c_.sizes.v_dims;
    // No visible key: 0 whatever other rows of the tile have put beside it.
    if (row.l == 0.0f) std::fill_n(acc, c_.shape.v_dim, 0.0f);
    float factor = c_.use.dropout != nullptr ? c_.use.dropout->keep_scale : 1.0f;
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

}  // namespace attend::native
