#include "backends/native/row_tile.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "ops/common/online_softmax.h"

namespace attend::native {
namespace {

// Of a head's keys, which narrow rows of all heads read in turn: 8 heads of them stay in the
// first-level cache with what is asked for meanwhile. With half of it the turns themselves are felt.
constexpr int64_t kBlockBytes = 2 << 10;

// Keys and values of a sequence that is read without being asked for: it is over before the first of
// a stream came, and to set one up takes longer than to attend to 16 keys.
constexpr int64_t kShortBytes = 16 << 10;

constexpr const void *kNull = nullptr, *kNone = kNoRow;

}  // namespace

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
      panels_((rows_ - 1) / call.ops.row_step + 1),
      k_rows_(call.a, sequence, kv_head_, call.a.k, call.a.k_new, call.a.k_descale),
      v_rows_(call.a, sequence, kv_head_, call.a.v, call.a.v_new, call.a.v_descale),
      k_bytes_(k_rows_.row_bytes(call.shape.head_dim)),
      v_bytes_(v_rows_.row_bytes(call.shape.v_dim)),
      words_(call.p) {
  t_.k = w_.k;
  t_.v = w_.v;
  t_.v_dims = static_cast<int32_t>(c_.sizes.v_dims);
  t_.head_words = static_cast<int32_t>(c_.sizes.head_words);
  t_.q_words = static_cast<int32_t>(c_.sizes.q_words);
  t_.scale = *c_.p.softmax_scale;
  t_.softcap = c_.p.softcap;
  t_.exact = static_cast<bool>(c_.a.lse);
  // A scale of 0 or less would turn a hidden key's -inf into something else.
  t_.scaled = c_.p.softcap > 0.0f || c_.p.alibi_slopes || c_.p.bias || !(t_.scale > 0.0f);

  const RowsView q = rows_of(c_.a.q, s_.b, s_.q_first);
  for (int32_t r = 0; r < rows_; ++r) w_.q_rows[r] = q.at(position(r), head(r));
  c_.ops.pack_q({w_.q_rows, q.dim, elem_of(q.dtype), 1.0f}, rows_,
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

void RowTile::begin(KeyRange range) {
  range_ = range;
  std::fill_n(w_.state.m, rows_, -INFINITY);
  std::fill_n(w_.state.l, rows_, 0.0f);
  std::fill_n(w_.fresh, panels_, uint8_t{1});
}

// What the tile at j0 has; false if no row sees any of it.
bool RowTile::enter(int64_t j0) {
  keys_ = static_cast<int32_t>(std::min<int64_t>(c_.keys, s_.k_len - j0));
  t_.keys = static_cast<int32_t>(round_up(keys_, c_.ops.key_step));
  kind_ = planned(j0);
  return kind_ != TileKind::kSkip && seen_at_all(j0);
}

void RowTile::step(int64_t j0) {
  if (enter(j0)) attend_keys(j0);
}

void RowTile::end() {
  for (int32_t p = 0; p < panels_; ++p)
    if (w_.fresh[p] != 0) {
      const int64_t first = int64_t{p} * c_.ops.row_step,
                    count = std::min<int64_t>(c_.ops.row_step, rows_ - first);
      std::fill_n(w_.state.out + first * t_.v_dims, count * t_.v_dims, 0.0f);
    }
}

// What the plan says of the tile at j0: these rows lie in one row of its tiles.
TileKind RowTile::planned(int64_t j0) const {
  if (c_.use.plan == nullptr) return TileKind::kPartial;
  return c_.use.plan->kind(s_.b, first_head_, position(0) / c_.use.plan->shape().rows,
                           j0 / c_.keys);
}

bool RowTile::seen_at_all(int64_t j0) const {
  return s_.mask.classify(position(0), position(rows_ - 1) + 1, j0, j0 + keys_) != TileKind::kSkip;
}

// Where a panel's rows and state lie, and which groups of the keys at j0 it needs.
RowTile::Edges RowTile::place(Panel& panel, int32_t number, int64_t j0) const {
  const int32_t first_row = number * c_.ops.row_step, step = c_.ops.key_step;
  panel.rows = std::min(rows_ - first_row, c_.ops.row_step);
  const int64_t top = position(first_row), bottom = position(first_row + panel.rows - 1);
  const TileKind kind = s_.mask.classify(top, bottom + 1, j0, j0 + keys_);
  const int64_t first = std::max({s_.mask.keys(top).begin, range_.begin, j0}) - j0,
                last = std::min({s_.mask.keys(bottom).end, range_.end, j0 + keys_}) - j0;
  if (kind == TileKind::kSkip || first >= last) return {.skip = true};
  panel.first_key = static_cast<int32_t>(first);
  panel.last_key = static_cast<int32_t>(last);
  panel.key_begin = static_cast<int32_t>(first / step * step);
  panel.key_end = static_cast<int32_t>(round_up(last, step));
  panel.q = w_.q + int64_t{first_row} * t_.q_words;
  panel.s = w_.s + (c_.sizes.keep_scores ? int64_t{first_row} * kScoreStride : 0);
  panel.out = w_.state.out + int64_t{first_row} * t_.v_dims;
  panel.m = w_.state.m + first_row;
  panel.l = w_.state.l + first_row;
  panel.factor = w_.factor + first_row;
  panel.fresh = w_.fresh[number] != 0;
  // The range may begin or end inside a group of keys.
  const KeyRange all{std::max(s_.mask.keys(bottom).begin, range_.begin),
                     std::min(s_.mask.keys(top).end, range_.end)};
  const bool hole = s_.mask.hole_begin < j0 + panel.key_end &&
                    s_.mask.hole_end > j0 + panel.key_begin &&
                    s_.mask.hole_begin < s_.mask.hole_end;
  return {.full = all.begin <= j0 + panel.key_begin && all.end >= j0 + panel.key_end && !hole};
}

// Addresses of the keys [j0, j0 + count) that some row may see. The others stay null: what stands
// there is never looked at, and in a page table it need not even name a page.
void RowTile::locate(const KeyRows& keys, KeyRange within, int64_t j0, int64_t count,
                     const void** rows) const {
  std::fill_n(rows, count, nullptr);
  const KeyRange seen = visible();
  const int64_t begin = std::max({j0, seen.begin, within.begin}),
                end = std::min({j0 + count, seen.end, within.end});
  const int64_t hole_begin = std::clamp(s_.mask.hole_begin, begin, std::max(begin, end)),
                hole_end = std::clamp(s_.mask.hole_end, hole_begin, std::max(hole_begin, end));
  keys.locate(begin, std::min(hole_begin, end), rows + (begin - j0));
  keys.locate(hole_end, end, rows + (hole_end - j0));
}

// Asks for a panel's share of the tile of keys at j0, which comes next: its rows may lie a page or
// more apart, where the hardware's own prefetch does not follow. Inlined by order: GCC takes a function
// that does no more than this for one without effect, and leaves out the call.
[[gnu::always_inline]] inline void RowTile::prefetch(const KeyRows& keys, int64_t dim, int64_t j0,
                                                     int32_t panel) const {
  const int64_t bytes = keys.row_bytes(dim), count = std::min<int64_t>(c_.keys, range_.end - j0);
  if (bytes == 0 || count <= 0 || s_.mask.hole_begin < s_.mask.hole_end) return;
  const int64_t first = j0 + count * panel / panels_, last = j0 + count * (panel + 1) / panels_;
  const void* rows[kMaxKeys];
  keys.locate(first, last, rows);
  for (int64_t j = 0; j < last - first; ++j)
    for (int64_t line = 0; line < bytes; line += 64)
      __builtin_prefetch(static_cast<const std::byte*>(rows[j]) + line, 0, 2);
}

// One step of the online softmax: the keys [j0, j0 + keys_). Panel by panel, so that scores stay in
// the first-level cache.
void RowTile::attend_keys(int64_t j0) {
  const auto head_dim = static_cast<int32_t>(c_.shape.head_dim);
  locate(k_rows_, range_, j0, t_.keys, w_.k_rows);
  locate(v_rows_, range_, j0, t_.keys, w_.v_rows);
  c_.ops.pack_k(k_rows_.pointers(j0, j0 + keys_, w_.k_rows, head_dim, w_.staged, false), keys_,
                head_dim, w_.k);
  const bool by_key = elementwise();
  mark_seen(j0, by_key);
  if (by_key) words_.start_tile(w_, s_, j0, keys_, t_.keys);
  by_key ? attend_by_key(j0) : attend_panels(j0);
}

// A panel's softmax goes beside the next one's scores.
void RowTile::attend_panels(int64_t j0) {
  std::array<Panel, 2> panels{};
  const Panel* before = nullptr;
  int32_t number = 0;  // of the one before
  const auto end = [&] {
    drop(*before, number, j0);
    prefetch(v_rows_, c_.shape.v_dim, j0 + keys_, number);
    accumulate(*before, number);
  };
  pack_values(j0);
  for (int32_t p = 0; p < panels_; ++p) {
    Panel& panel = panels[before == panels.data() ? 1 : 0];
    const Edges edges = place(panel, p, j0);
    if (edges.skip) continue;
    if (!c_.sizes.keep_scores && &panel != panels.data()) panel.s += c_.ops.row_step * kScoreStride;
    c_.ops.scores(t_, panel, before);
    prefetch(k_rows_, c_.shape.head_dim, j0 + keys_, p);
    panel.topped = !prepare(panel, p, edges.full, j0) && c_.ops.leaves_tops;
    if (before != nullptr) end();
    before = &panel;
    number = p;
  }
  if (before == nullptr) return;
  c_.ops.softmax(t_, *before);
  end();
}

// V can only be packed when all panels have said which keys they see.
void RowTile::attend_by_key(int64_t j0) {
  for (int32_t p = 0; p < panels_; ++p) {
    Panel panel{};
    const Edges edges = place(panel, p, j0);
    if (edges.skip) continue;
    c_.ops.scores(t_, panel, nullptr);
    prefetch(k_rows_, c_.shape.head_dim, j0 + keys_, p);
    weigh(panel, p, edges.full, j0);
    prefetch(v_rows_, c_.shape.v_dim, j0 + keys_, p);
  }
  pack_values(j0);
  for (int32_t p = 0; p < panels_; ++p) {
    Panel panel{};
    if (!place(panel, p, j0).skip) accumulate(panel, p);
  }
}

void RowTile::pack_values(int64_t j0) {
  const auto v_dim = static_cast<int32_t>(c_.shape.v_dim);
  c_.ops.pack_v(v_rows_.pointers(j0, j0 + keys_, w_.v_rows, v_dim, w_.staged, false), keys_, v_dim,
                seen_, w_.v);
}

void RowTile::accumulate(const Panel& panel, int32_t number) {
  c_.ops.accumulate(t_, panel);
  w_.fresh[number] = 0;
}

// ---- narrow rows

bool RowTile::open(int64_t j0, int64_t n, int64_t together) {
  if (!enter(j0)) return false;
  const Edges edges = place(panel_, 0, j0);
  if (edges.skip) return false;
  j0_ = j0;
  block_panel_ = panel_;
  live_end_ = static_cast<int32_t>(std::min<int64_t>(
      panel_.key_end, round_up(panel_.last_key, narrow_keys(c_.ops.lanes, panel_.rows))));
  together_ = together;
  full_ = edges.full;
  heads_ = k_rows_.heads_adjacent(c_.shape.head_dim) && v_rows_.heads_adjacent(c_.shape.v_dim)
               ? together
               : 1;
  leads_ = n == 0 || heads_ == 1;
  locate(k_rows_, range_, j0, t_.keys, w_.k_rows);
  locate(v_rows_, range_, j0, t_.keys, w_.v_rows);
  k_ = k_rows_.pointers(j0, j0 + keys_, w_.k_rows, c_.shape.head_dim, w_.staged, true);
  std::replace(w_.k_rows, w_.k_rows + t_.keys, kNull, kNone);
  const bool by_key = elementwise();
  mark_seen(j0, by_key);
  if (by_key) words_.start_tile(w_, s_, j0, keys_, t_.keys);
  return true;
}

// How many keys of all heads are read in turn, in whole steps. By the row alone: values are summed
// block by block, and bits must not depend on how many heads a task has.
int32_t RowTile::block_keys(int64_t row_bytes, int32_t step) const {
  int32_t keys = step;
  while (2 * keys <= c_.ops.key_step && 2 * keys * row_bytes <= kBlockBytes) keys *= 2;
  return keys;
}

// Rows are those of the open keys; after them come those of `then` from key then_begin on.
void RowTile::open_stream(const void* const* rows, int64_t bytes, const KeyRows& then,
                          int64_t then_begin, const void** then_rows, int64_t then_bytes,
                          bool led) {
  if (!leads_) return;
  const bool whole = range_.begin >= j0_ && range_.end <= j0_ + keys_;
  if (whole &&
      (panel_.last_key - panel_.first_key) * (k_bytes_ + v_bytes_) * together_ <= kShortBytes)
    return stream_.open({}, {}, 0, 1, false);
  const int64_t streams = together_ / heads_, block_bytes = block_ * bytes * heads_;
  bytes *= heads_;
  then_bytes *= heads_;
  const int64_t beyond =
      std::min<int64_t>(c_.sizes.keys, KeyStream::keys_beyond(then_bytes, block_bytes, streams));
  locate(then, {0, INT64_MAX}, then_begin, beyond, then_rows);
  std::replace(then_rows, then_rows + beyond, kNull, kNone);
  stream_.open({rows + panel_.key_begin, live_end_ - panel_.key_begin, bytes},
               {then_rows, beyond, then_bytes}, block_bytes, streams, led);
}

void RowTile::open_scores(bool led) {
  block_ = block_keys(c_.shape.head_dim * size_bytes(c_.a.k.dtype),
                      narrow_keys(c_.ops.lanes, panel_.rows));
  open_stream(w_.k_rows, k_bytes_, v_rows_, j0_ + panel_.key_begin, w_.k_rows + t_.keys, v_bytes_,
              led);
}

void RowTile::open_values() {
  block_ = block_keys(c_.shape.v_dim * size_bytes(c_.a.v.dtype), c_.ops.lanes / 4);
  open_stream(w_.v_rows, v_bytes_, k_rows_, j0_ + c_.keys, w_.v_rows + t_.keys, k_bytes_, true);
}

void RowTile::add_scores(int32_t first, KeyStream& stream) {
  block_panel_.key_begin = first;
  block_panel_.key_end = std::min(live_end_, first + block_);
  stream.ask((block_panel_.key_end - first) * k_bytes_);
  c_.ops.scores_narrow(t_, block_panel_, k_, static_cast<int32_t>(c_.shape.head_dim));
}

void RowTile::weigh_all() {
  weigh(panel_, 0, full_, j0_);
  v_ = v_rows_.pointers(j0_, j0_ + keys_, w_.v_rows, c_.shape.v_dim, w_.staged, true);
  std::replace(w_.v_rows, w_.v_rows + t_.keys, kNull, kNone);
  if (seen_ != nullptr)
    for (int32_t j = 0; j < t_.keys; ++j)
      if (seen_[j] == 0) w_.v_rows[j] = kNone;
}

void RowTile::add_values(int32_t first, KeyStream& stream) {
  block_panel_.key_begin = first;
  block_panel_.key_end = std::min(live_end_, first + block_);
  stream.ask((block_panel_.key_end - first) * v_bytes_);
  c_.ops.accumulate_narrow(t_, block_panel_, v_, static_cast<int32_t>(c_.shape.v_dim));
  if (first > panel_.key_begin) return;
  w_.fresh[0] = 0;
  block_panel_.fresh = false;
  std::fill_n(panel_.factor, panel_.rows, 1.0f);  // it has been taken into account
}

// ---- what a tile holds and what its rows see

// Whether words of the tile at hand decide key by key: its plan may know that all are seen.
bool RowTile::elementwise() const {
  return kind_ == TileKind::kFull ? static_cast<bool>(c_.p.bias) : c_.sizes.keep_scores;
}

// Scores to weights.
void RowTile::weigh(const Panel& panel, int32_t number, bool full, int64_t j0) {
  prepare(panel, number, full, j0);
  c_.ops.softmax(t_, panel);
  drop(panel, number, j0);
}

// What words do to scores; false if they do nothing.
bool RowTile::prepare(const Panel& panel, int32_t number, bool full, int64_t j0) {
  if (full && !t_.scaled && !elementwise()) return false;
  for (int32_t r = 0; r < panel.rows; ++r)
    c_.ops.prepare(t_, panel, r, words_of(number * c_.ops.row_step + r, j0));
  return true;
}

// What row r has for the keys at j0. Those of the words that go key by key are marked as seen by
// the softmax.
TileRow RowTile::words_of(int32_t r, int64_t j0) {
  const int64_t i = position(r), h = head(r);
  const KeyRange keys = s_.mask.keys(i);
  const auto in_tile = [&](int64_t j) {
    return static_cast<int32_t>(std::clamp<int64_t>(j - j0, 0, keys_));
  };
  TileRow row{};
  row.begin = in_tile(std::max(keys.begin, range_.begin));
  row.end = in_tile(std::min(keys.end, range_.end));
  row.hole_begin = in_tile(s_.mask.hole_begin);
  row.hole_end = in_tile(s_.mask.hole_end);
  if (c_.p.alibi_slopes) {
    row.slope = alibi_slope(c_.p.alibi_slopes, s_.b, h);
    row.position = static_cast<float>(i + s_.mask.d - j0);
  }
  if (elementwise()) {
    row.seen = w_.seen;
    words_.load_row(w_, s_, h, i, row);
  }
  return row;
}

// Which keys some row sees. Ranges tell it beforehand: all between the first row's begin and the
// last row's end, without the hole. Where words decide key by key, rows mark what they see.
void RowTile::mark_seen(int64_t j0, bool by_key) {
  const KeyRange seen{std::max(visible().begin, range_.begin), std::min(visible().end, range_.end)};
  const bool hole = s_.mask.hole_begin < s_.mask.hole_end;
  seen_ = !by_key && !hole && seen.begin <= j0 && seen.end >= j0 + keys_ ? nullptr : w_.seen;
  if (seen_ == nullptr) return;
  std::fill_n(w_.seen, t_.keys, 0);
  if (by_key) return;
  for (int32_t j = 0; j < keys_; ++j)
    w_.seen[j] = j0 + j >= seen.begin && j0 + j < seen.end && !s_.mask.in_hole(j0 + j);
}

// Step 6 of the score order: the sum of weights stays what it was, and what 1 / (1 - p) adds comes
// with the division, so that a 16-bit weight is rounded once.
void RowTile::drop(const Panel& panel, int32_t number, int64_t j0) {
  if (c_.use.dropout == nullptr) return;
  for (int32_t r = 0; r < panel.rows; ++r) drop_row(panel, r, number * c_.ops.row_step + r, j0);
}

void RowTile::drop_row(const Panel& panel, int32_t r, int32_t row, int64_t j0) {
  const Dropout& dropout = *c_.use.dropout;
  const int64_t i = c_.use.first_row + position(row),
                head_number = c_.use.first_head + s_.b * c_.shape.heads + head(row);
  const size_t width = sizeof(float) / static_cast<size_t>(c_.ops.word_values);
  auto* weights = reinterpret_cast<std::byte*>(panel.s + int64_t{r} * kScoreStride);
  const int32_t end = std::min(panel.key_end, keys_);
  Philox4x32 words{};
  int64_t drawn = -1;
  for (int32_t n = panel.key_begin; n < end; ++n) {
    const int64_t j = c_.use.first_key + j0 + n;
    if (j / 4 != drawn) words = dropout.words(head_number, i, j);
    drawn = j / 4;
    if (!dropout.keeps(words, j)) std::memset(weights + static_cast<size_t>(n) * width, 0, width);
  }
}

void RowTile::finish() {
  constexpr int32_t kRowsAhead = 8;  // to be asked for before they are written
  const RowsView out = rows_of(c_.a.out, s_.b, s_.q_first);
  for (int32_t r = 0; r < rows_; ++r) {
    const int64_t i = position(r), h = head(r);
    OnlineSoftmax row{w_.state.m[r], w_.state.l[r]};
    float* acc = w_.state.out + r * c_.sizes.v_dims;
    // No visible key: 0 whatever other rows of the tile have put beside it.
    if (row.l == 0.0f) std::fill_n(acc, c_.shape.v_dim, 0.0f);
    float factor = c_.use.dropout != nullptr ? c_.use.dropout->keep_scale : 1.0f;
    for (int64_t n = 0; n < sink_count(c_.p.sinks); ++n)
      factor *= row.admit_sink(sink_logit(c_.p.sinks, h, n));
    const int32_t next = r + kRowsAhead;
    c_.ops.store(acc, factor * row.inverse_sum(), static_cast<int32_t>(c_.shape.v_dim),
                 {out.at(i, h), out.dim, elem_of(out.dtype),
                  next < rows_ && out.dim == 1 ? out.at(position(next), head(next)) : nullptr});
    if (c_.a.lse) {
      const RowsView lse = lse_rows_of(c_.a.lse, s_.b, s_.q_first);
      store(lse.at(i, h), DType::kF32, row.lse());
    }
  }
}

}  // namespace attend::native
