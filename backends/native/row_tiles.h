#pragma once
#include <array>
#include <optional>
#include <utility>

#include "backends/native/row_tile.h"

namespace attend::native {

// The tiles of a task: one, or the narrow ones of several kv heads of a sequence, which go through
// each tile of keys in turn: the heads of a key lie side by side, so that a page of memory is found
// once for all of them.
class RowTiles {
 public:
  RowTiles(const TileCall& call, const Worker& worker, const Sequence& sequence, int64_t row_begin,
           int64_t row_end)
      : c_(call), w_(worker), s_(sequence), begin_(row_begin), end_(row_end) {}

  void add(int64_t stack) {
    const auto n = static_cast<size_t>(count_);
    workers_[n] = panel_of(w_, c_.sizes, count_);
    tiles_[n].emplace(c_, workers_[n], s_, stack, begin_, end_);
    ++count_;
  }

  int64_t count() const { return count_; }
  int32_t rows() const { return tiles_[0]->rows(); }
  KeyRange visible() const { return tiles_[0]->visible(); }
  const RowState& state(int64_t n) const { return workers_[static_cast<size_t>(n)].state; }
  const RowState& folded(int64_t n) const { return workers_[static_cast<size_t>(n)].folded; }
  // The state at hand becomes the folded one, and the other way round.
  void swap_state(int64_t n) {
    Worker& worker = workers_[static_cast<size_t>(n)];
    std::swap(worker.state, worker.folded);
  }

  // The state of all rows after the keys of a range, from nothing.
  void attend(KeyRange range) {
    each([&](RowTile& tile) { tile.begin(range); });
    for (int64_t j0 = range.begin / c_.keys * c_.keys; j0 < range.end; j0 += c_.keys)
      if (c_.narrow(s_))
        step_together(j0);
      else
        tile(0).step(j0);
    each([](RowTile& tile) { tile.end(); });
  }

  void finish() {
    each([](RowTile& tile) { tile.finish(); });
  }

 private:
  // Block by block of keys through all heads, so that memory is read in the order in which it lies.
  void step_together(int64_t j0) {
    // By all or by none: ranges are those of all heads, and where heads have plans of their own they
    // do not go together (stacks_together).
    bool seen = true;
    for (int64_t n = 0; n < count_; ++n) seen = tile(n).open(j0, n, count_) && seen;
    if (!seen) return;
    const bool led = led_to_ == j0;
    led_to_ = j0 + c_.keys;
    each([&](RowTile& tile) { tile.open_scores(led); });
    each_block([](RowTile& tile, int32_t key, KeyStream& stream) { tile.add_scores(key, stream); });
    each([](RowTile& tile) { tile.weigh_all(); });
    each([](RowTile& tile) { tile.open_values(); });
    each_block([](RowTile& tile, int32_t key, KeyStream& stream) { tile.add_values(key, stream); });
  }

  template <class F>
  void each_block(F&& f) {
    const KeyRange keys = tile(0).open_keys();
    for (int64_t key = keys.begin; key < keys.end; key += tile(0).block())
      each([&](RowTile& of) {
        f(of, static_cast<int32_t>(key), (of.shares_stream() ? tile(0) : of).stream());
      });
  }

  RowTile& tile(int64_t n) { return *tiles_[static_cast<size_t>(n)]; }
  template <class F>
  void each(F&& f) {
    for (int64_t n = 0; n < count_; ++n) f(tile(n));
  }

  const TileCall& c_;
  const Worker& w_;
  const Sequence& s_;
  const int64_t begin_, end_;
  int64_t count_ = 0;
  int64_t led_to_ = -1;  // the tile of keys that the last one has asked for
  std::array<Worker, kMostTogether> workers_;
  std::array<std::optional<RowTile>, kMostTogether> tiles_;
};

}  // namespace attend::native
