#pragma once
#include <cstdint>

#include "backends/native/isa/tile_ops.h"
#include "backends/native/key_rows.h"
#include "backends/native/key_stream.h"
#include "backends/native/key_words.h"
#include "backends/native/tile_worker.h"
#include "backends/native/tiles.h"
#include "ops/common/layout.h"

namespace attend::native {

// One call: what every task reads.
struct TileCall {
  const TileOps& ops;
  const AttentionArgs& a;
  const AttentionParams& p;
  const TileUse& use;
  CallShape shape;
  TileSizes sizes;
  int32_t keys;   // of a tile: the plan's, else as many as fit
  int64_t stack;  // query heads that a tile stacks: a group, or one where heads have plans of
                  // their own

  TileCall(const TileOps& o, const AttentionArgs& args, const AttentionParams& params,
           const TileUse& how)
      : ops(o),
        a(args),
        p(params),
        use(how),
        shape(call_shape(args)),
        sizes(o, args, params, shape),
        keys(how.plan ? how.plan->shape().keys : sizes.keys),
        stack(how.plan && how.plan->planes() > 1 ? 1 : shape.group()) {}

  // Stacks of heads in a sequence; the first head of one.
  int64_t stacks() const { return shape.kv_heads * (shape.group() / stack); }
  // Whether K and V are read where they lie. By the sequence, not by the tile, whose rows follow
  // the number of threads.
  bool narrow(const Sequence& s) const {
    return s.q_len * stack <= std::min(kNarrowRows, ops.row_step);
  }
};

// A tile of stacked query rows of one kv head against all keys that they may see.
class RowTile {
 public:
  // Rows [row_begin, row_end) of the stack's heads: row r = (position r / stack, head r % stack).
  RowTile(const TileCall& call, const Worker& worker, const Sequence& sequence, int64_t stack,
          int64_t row_begin, int64_t row_end);

  // Keys that some row may see, as far as ranges tell.
  KeyRange visible() const;
  // The state of all rows after the keys of a range, from nothing: begin(), then for each tile of
  // keys that starts at a multiple of the tile's size step() or, for narrow rows, the four that
  // follow; end().
  void begin(KeyRange range);
  void step(int64_t j0);
  // Narrow rows, the n-th of `together` that go side by side: opens the tile at j0, false if none of
  // it is seen; then scores of all its keys, block by block; weights; values of all keys, likewise.
  bool open(int64_t j0, int64_t n, int64_t together);
  KeyRange open_keys() const { return {panel_.key_begin, live_end_}; }
  void open_scores(bool led);
  void add_scores(int32_t first, KeyStream& stream);
  void weigh_all();
  void open_values();
  void add_values(int32_t first, KeyStream& stream);
  void end();
  int32_t block() const { return block_; }  // keys of a block, of scores or values
  // Its own, or one for all that go together.
  KeyStream& stream() { return stream_; }
  bool shares_stream() const { return heads_ > 1; }
  // Sinks, the division by the sum, and the rows' way out.
  void finish();

  int32_t rows() const { return rows_; }

 private:
  // What a panel makes of the tile of keys at hand.
  struct Edges {
    bool skip = false;  // no row sees any of it
    bool full = false;  // every row sees all that the panel's range holds
  };

  int64_t position(int64_t row) const;
  int64_t head(int64_t row) const;
  TileKind planned(int64_t j0) const;
  Edges place(Panel& panel, int32_t number, int64_t j0) const;
  bool seen_at_all(int64_t j0) const;
  void locate(const KeyRows& keys, KeyRange within, int64_t j0, int64_t count,
              const void** rows) const;
  bool enter(int64_t j0);
  void attend_keys(int64_t j0);
  void attend_panels(int64_t j0);
  void attend_by_key(int64_t j0);
  int32_t block_keys(int64_t row_bytes, int32_t step) const;
  void open_stream(const void* const* rows, int64_t bytes, const KeyRows& then, int64_t then_begin,
                   const void** then_rows, int64_t then_bytes, bool led);
  bool elementwise() const;
  void weigh(const Panel& panel, int32_t number, bool full, int64_t j0);
  bool prepare(const Panel& panel, int32_t number, bool full, int64_t j0);
  void prefetch(const KeyRows& keys, int64_t dim, int64_t j0, int32_t panel) const;
  void pack_values(int64_t j0);
  void accumulate(const Panel& panel, int32_t number);
  void mark_seen(int64_t j0, bool by_key);
  TileRow words_of(int32_t r, int64_t j0);
  void drop(const Panel& panel, int32_t number, int64_t j0);
  void drop_row(const Panel& panel, int32_t r, int32_t row, int64_t j0);

  const TileCall& c_;
  const Worker& w_;
  const Sequence& s_;
  const int64_t kv_head_, first_head_, stack_, first_;
  const int32_t rows_, panels_;
  const KeyRows k_rows_, v_rows_;
  const int64_t k_bytes_, v_bytes_;  // of a row, 0 where its elements lie apart
  KeyRange range_;                   // of the part at hand
  int32_t keys_ = 0;                 // of the tile at hand
  TileKind kind_ = TileKind::kPartial;
  KeyWords words_;
  // Narrow rows' own, of the tile at hand.
  int64_t j0_ = 0, together_ = 1, heads_ = 1;  // heads whose rows of a key lie together
  bool leads_ = true;                          // whether its stream is asked
  int32_t block_ = 0;
  int32_t live_end_ = 0;  // of the keys that are read: beyond lie those that no row sees
  KeyStream stream_;
  Panel panel_{}, block_panel_{};  // of the tile, of a block of its keys
  bool full_ = false;
  RowPointers k_{}, v_{};
  const int32_t* seen_ = nullptr;  // keys of the tile that some row sees; null: all
  Tile t_{};
};

}  // namespace attend::native
