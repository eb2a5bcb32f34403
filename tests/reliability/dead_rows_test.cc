// Keys and values that no row may see are never read: their memory faults. Each row of k and v lies
// in a page of its own, so that one key more than the contract allows ends the program.
//   paged    pages of no request, tails of pages, keys before windows, in holes, beyond causal rules
//   decode   keys before start, from end on, in holes, before a window
//   splash   keys of tiles that every row of theirs skips
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "tests/reliability/guarded_calls.h"
#include "tests/support/oracle.h"
#include "tests/support/oracle_keys.h"

namespace attend::testing {
namespace {

// (sequence, kv head, key) that some row may see.
using Keys = std::set<std::vector<int64_t>>;

// By lengths, ranges and holes, which are known before a key is looked at. Splash also knows the
// tiles of 128 rows and keys, or of its block mask, in which no pair is visible.
Keys visible_keys(const AttentionArgs& args, const AttentionParams& params, OpId op) {
  AttentionParams ranges = params;
  ranges.mask.keep = ranges.mask.q_segment_ids = ranges.mask.kv_segment_ids = {};
  ranges.mask.block_mask = ranges.bias = {};
  const Oracle by_range(args, ranges), by_pair(args, params);
  const int64_t group = by_range.heads() / std::max<int64_t>(1, by_range.kv_heads());
  Keys keys;
  for (int64_t b = 0; b < by_range.batch(); ++b)
    for (int64_t h = 0; h < by_range.heads(); ++h) {
      std::set<std::pair<int64_t, int64_t>> tiles;
      for (int64_t i = 0; op == OpId::kSplash && i < by_pair.seqlen_q(b); ++i)
        for (int64_t j = 0; j < by_pair.seqlen_k(b); ++j)
          if (by_pair.sees(b, h, i, j)) tiles.insert({i / 128, j / 128});
      for (int64_t i = 0; i < by_range.seqlen_q(b); ++i)
        for (int64_t j = 0; j < by_range.seqlen_k(b); ++j)
          if ((op != OpId::kSplash || tiles.count({i / 128, j / 128})) && by_range.sees(b, h, i, j))
            keys.insert({b, h / group, j});
    }
  return keys;
}

// Where those keys are in k and v: all dimensions but the last.
std::set<std::vector<int64_t>> places(const AttentionArgs& args, const Keys& keys) {
  std::set<std::vector<int64_t>> places;
  const SeqLayout& s = args.seq;
  const auto at = [](const TensorView& t, int64_t n) { return load_int(t, n); };
  for (const auto& key : keys) {
    const int64_t b = key[0], head = key[1], j = key[2];
    if (args.seq.block_table || args.seq.kv_indptr) {
      const int64_t size = args.k.dim(1);
      const int64_t cached = keys_in_use(args, b) - (args.k_new ? rows_in_use(args, b) : 0);
      if (j >= cached) continue;
      const int64_t page = s.kv_indptr ? at(s.kv_indices, at(s.kv_indptr, b) + j / size)
                           : s.block_table.dtype == DType::kI64
                               ? *static_cast<int64_t*>(address_of(s.block_table, {b, j / size}))
                               : *static_cast<int32_t*>(address_of(s.block_table, {b, j / size}));
      places.insert({page, j % size, head});
    } else if (args.k.rank == 3) {
      places.insert({at(s.cu_seqlens_k, b) + j, head});
    } else {
      places.insert({b, j, head});
    }
  }
  return places;
}

// k and v of a case with their dead rows closed; made once for all kernels of an operator.
struct Closed {
  AttentionCase of;
  OpId op;
  std::set<std::vector<int64_t>> seen;
  GuardedRows k, v;

  Closed(const AttentionCase& c, const CaseTensors& t, OpId by)
      : of(c),
        op(by),
        seen(places(t.args, visible_keys(t.args, t.params, by))),
        k(t.args.k, live()),
        v(t.args.v, live()) {}

 private:
  GuardedRows::Live live() const {
    return [this](const std::vector<int64_t>& at) { return seen.count(at) > 0; };
  }
};

int64_t dead_rows = 0;

void expect_unread(const AttentionKernel& row, const AttentionCase& c, const CaseTensors& t) {
  if (c.stores()) return;
  static std::optional<Closed> closed;
  if (!closed || closed->op != row.op || !(closed->of == c)) {
    closed.emplace(c, t, row.op);
    dead_rows += closed->k.dead_rows();
  }
  AttentionArgs apart = t.args;
  const GuardedRows out(t.args.out, [](const auto&) { return true; });
  apart.k = closed->k.view();
  apart.v = closed->v.view();
  apart.out = out.view();
  run_row(row, t.args, t.params);
  run_row(row, apart, t.params);
  EXPECT_TRUE(out.equals(t.args.out)) << row.name << " " << name(c);
}

AttentionCase masked(OpId op, int64_t seqlen_q, int64_t seqlen_k) {
  AttentionCase c = blank(op == OpId::kPaged    ? Family::kPaged
                          : op == OpId::kDecode ? Family::kDecode
                                                : Family::kPlain);
  c.seqlen_q = seqlen_q;
  c.seqlen_k = seqlen_k;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 20;
  return c;
}

// Every word that hides keys from all rows, on lengths around tiles and beyond them.
std::vector<AttentionCase> hiding_cases(OpId op) {
  std::vector<AttentionCase> list;
  const auto add = [&](AttentionCase c, auto&& set) {
    set(c);
    list.push_back(c);
  };
  const int64_t rows = op == OpId::kDecode ? 1 : 3, many = op == OpId::kDecode ? 1 : 140;
  for (const auto& [q, k] : {std::pair{rows, int64_t{40}},
                             {rows, int64_t{300}},
                             {many, int64_t{290}},
                             {rows, int64_t{1100}}}) {
    if (op == OpId::kSplash && (q == 1 || k > 1000)) continue;  // whose keys are not split
    const AttentionCase c = masked(op, q, k);
    add(c, [](AttentionCase& x) {
      x.window_left = 5;
      x.window_right = 2;
    });
    add(c, [](AttentionCase& x) {
      x.window_left = 0;
      x.causal = true;
    });
    add(c, [](AttentionCase& x) {
      x.causal = true;
      x.hole = true;
    });
    add(c, [](AttentionCase& x) {
      x.causal = true;
      x.q_start = true;
    });
    add(c, [](AttentionCase& x) {
      x.block_size = 4;
      x.block_origin = true;
      x.window_left = 9;
    });
    add(c, [](AttentionCase& x) {
      x.causal = true;
      x.seqused_k = true;
    });
    add(c, [](AttentionCase& x) {
      x.causal = true;
      x.prefix = true;
      x.window_right = 0;
    });
    if (op == OpId::kDecode) {
      add(c, [](AttentionCase& x) { x.start = true; });
      add(c, [](AttentionCase& x) { x.start = x.end = true; });
      add(c, [](AttentionCase& x) {
        x.start = x.end = x.hole = true;
        x.k_cache = DType::kI8;
      });
    }
    if (op == OpId::kPaged) {
      add(c, [](AttentionCase& x) {
        x.page_size = 1;
        x.window_left = 7;
      });
      add(c, [](AttentionCase& x) {
        x.page_size = 3;
        x.hole = true;
        x.table = PageTable::kCsr;
      });
      add(c, [](AttentionCase& x) {
        x.page_size = 7;
        x.own_rows = OwnRows::kNotStored;
        x.window_left = 8;
      });
      add(c, [](AttentionCase& x) {
        x.page_size = 5;
        x.v_cache = DType::kF8E4M3;
        x.hole = true;
      });
    }
    if (op == OpId::kSplash || op == OpId::kFlash)
      add(c, [](AttentionCase& x) {
        x.layout = Layout::kRagged;
        x.causal = true;
        x.window_left = 9;
      });
    if (op == OpId::kSplash) {
      add(c, [](AttentionCase& x) { x.segments = true; });
      add(c, [](AttentionCase& x) {
        x.keep = Spread::kRowsKeys;
        x.causal = true;
      });
    }
  }
  return list;
}

class DeadRows : public ::testing::TestWithParam<OpId> {};
INSTANTIATE_TEST_SUITE_P(Native, DeadRows,
                         ::testing::Values(OpId::kFlash, OpId::kPaged, OpId::kSplash,
                                           OpId::kDecode),
                         [](const auto& p) { return name(p.param); });

TEST_P(DeadRows, AreNeverRead) {
  dead_rows = 0;
  EXPECT_GT(each_guarded_call(GetParam(), hiding_cases(GetParam()), expect_unread), 60);
  EXPECT_GT(dead_rows, 1000);
}

// Tiles of a block mask that are switched off altogether.
TEST(DeadRows, OfTilesThatABlockMaskSkips) {
  AttentionCase c = masked(OpId::kSplash, 300, 520);
  c.family = Family::kSplash;
  CaseTensors t = make_tensors(c);
  constexpr int64_t kSize = 128, kTiles = 5;
  bool mask[3 * kTiles] = {false, true,  false, false, false,   // keys 0..127 of no row,
                           false, false, false, true,  false,   // 256..383 of no row,
                           false, true,  false, true,  false};  // 512.. of no row
  t.params.mask.block_mask = contiguous(mask, DType::kBool, {3, kTiles});
  t.params.mask.block_mask_q = t.params.mask.block_mask_k = kSize;
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kSplash, DeviceType::kNative)) {
    const Fault fault(row.name);
    const auto live = [&](const std::vector<int64_t>& at) {
      return at[1] / kSize == 1 || at[1] / kSize == 3;
    };
    const GuardedRows k(t.args.k, live), v(t.args.v, live);
    const GuardedRows out(t.args.out, [](const auto&) { return true; });
    AttentionArgs apart = t.args;
    apart.k = k.view();
    apart.v = v.view();
    apart.out = out.view();
    apart.lse = {};
    try {
      run_row(row, apart, t.params);
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
      continue;
    }
    t.reset_outputs();
    run_row(row, t.args, t.params);
    EXPECT_TRUE(out.equals(t.args.out)) << row.name;
  }
}

// A table entry whose keys no row may see may be anything: it is not followed.
TEST(DeadRows, OfPagesBehindAWindowNeedNoTableEntry) {
  AttentionCase c = masked(OpId::kPaged, 2, 100);
  c.page_size = 4;
  c.batch = 1;
  c.window_left = 6;
  CaseTensors t = make_tensors(c);
  const int64_t keys = keys_in_use(t.args, 0), entries = t.args.seq.block_table.dim(1);
  ASSERT_GT(keys, 30);
  auto* table = static_cast<int32_t*>(t.args.seq.block_table.data);
  const int64_t first = keys - 2 - 6;  // of row 0
  for (const AttentionKernel& row :
       Registry::global().attention_kernels(OpId::kPaged, DeviceType::kNative)) {
    const Fault fault(row.name);
    t.reset_outputs();
    try {
      run_row(row, t.args, t.params);
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
      continue;
    }
    const auto clean = t.output_bytes();
    const std::vector<int32_t> saved(table, table + entries);
    for (int64_t n = 0; n < first / 4; ++n) table[n] = n % 2 ? INT32_MIN : INT32_MAX;
    t.reset_outputs();
    run_row(row, t.args, t.params);
    EXPECT_TRUE(t.output_bytes() == clean) << row.name;
    std::copy(saved.begin(), saved.end(), table);
  }
}

}  // namespace
}  // namespace attend::testing
