// Rows that see no key (contract 4): out 0, and lse -inf or that of the sinks, whatever hides the
// keys, on every row of every operator.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "attend/error.h"
#include "tests/kernels/rows.h"
#include "tests/support/element.h"
#include "tests/support/judge.h"
#include "tests/support/oracle.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

void set_int(const TensorView& t, std::initializer_list<int64_t> at, int64_t value) {
  store(t.dtype, address_of(t, at), static_cast<double>(value));
}
// Row i of the first sequence, in every head, of keep or of bias.
void set_row(const TensorView& t, int64_t i, double value) {
  for (int64_t h = 0; h < t.dim(1); ++h)
    for (int64_t j = 0; j < t.dim(3); ++j) store(t.dtype, address_of(t, {0, h, i, j}), value);
}

// How rows of the first of two sequences come to see nothing: words of the case, then what their
// tensors hold.
struct Mechanism {
  const char* name;
  void (*set)(AttentionCase&);
  void (*hide)(const CaseTensors&) = [](const CaseTensors&) {};
};
using C = AttentionCase;
using T = CaseTensors;

const Mechanism kMechanisms[] = {
    {"more_rows_than_keys", [](C& c) { c.causal = true, c.seqlen_q = 9, c.seqlen_k = 4; }},
    {"top_left_and_window",
     [](C& c) {
       c.causal = true, c.window_left = 1, c.diagonal = Diagonal::kTopLeft;
       c.seqlen_q = 9, c.seqlen_k = 4;
     }},
    {"window_behind_the_keys",
     [](C& c) { c.window_left = 3, c.window_right = 2, c.q_start = true; },
     [](const T& t) { set_int(t.params.mask.q_start, {0}, 1000); }},
    {"causal_before_the_keys", [](C& c) { c.causal = c.q_start = true; },
     [](const T& t) { set_int(t.params.mask.q_start, {0}, -20); }},
    {"block_causal_before_the_keys", [](C& c) { c.block_size = 4, c.q_start = true; },
     [](const T& t) { set_int(t.params.mask.q_start, {0}, -20); }},
    {"hole", [](C& c) { c.hole = true; },
     [](const T& t) {
       set_int(t.params.mask.hole_starts, {0}, 0);
       set_int(t.params.mask.hole_ends, {0}, 1000);
     }},
    {"segments", [](C& c) { c.segments = true; },
     [](const T& t) {
       set_int(t.params.mask.q_segment_ids, {0, 0}, -1);
       set_int(t.params.mask.q_segment_ids, {0, t.args.q.dim(1) - 1}, 77);
     }},
    {"keep", [](C& c) { c.keep = Spread::kFull; },
     [](const T& t) { set_row(t.params.mask.keep, t.args.q.dim(1) - 1, 0); }},
    {"bias", [](C& c) { c.bias = Spread::kFull, c.causal = true; },
     [](const T& t) {
       set_row(t.params.bias, t.args.q.dim(1) - 1, -std::numeric_limits<double>::infinity());
     }},
    {"block_mask",
     [](C& c) {
       c.family = Family::kSplash, c.block_mask = Spread::kRowsKeys;
       c.block_mask_q = 2, c.block_mask_k = 5;
     },
     [](const T& t) {
       const TensorView& m = t.params.mask.block_mask;
       for (int64_t j = 0; j < m.dim(1); ++j) store(m.dtype, address_of(m, {1, j}), 0);
     }},
    {"no_keys",
     [](C& c) {
       c.seqused_k = c.causal = true, c.k_lens = {0, 9};
     }},
    {"start_at_end", [](C& c) { c.family = Family::kDecode, c.start = c.end = true; },
     [](const T& t) { set_int(t.args.seq.start, {0}, load_int(t.args.seq.end, 0)); }},
};

AttentionCase the_case(OpId op, const Mechanism& mechanism) {
  AttentionCase c;
  c.batch = 2, c.seqlen_q = 7, c.seqlen_k = 33, c.heads = 4, c.kv_heads = 2, c.head_dim = 16;
  c.lse = true;
  c.label = mechanism.name;
  c.mask_with_bias = MaskWithBias::kBoth;
  c.diagonal = Diagonal::kBottomRight;
  mechanism.set(c);
  if (op == OpId::kPaged) {
    c.family = Family::kPaged;
    c.page_size = 8;
    c.seqused_k = false;
  } else if (op == OpId::kDecode) {
    c.family = Family::kDecode;
    c.seqlen_q = 1;
    if (c.end) c.k_lens = {20, 9};
  }
  return c;
}

bool applies(OpId op, const AttentionCase& c) {
  if (op == OpId::kDecode && c.label == "more_rows_than_keys") return false;  // it has one row
  if (op == OpId::kPaged && c.end) return false;
  if ((op == OpId::kPaged || op == OpId::kDecode) &&
      (c.diagonal == Diagonal::kTopLeft || c.block_mask != Spread::kNone))
    return false;
  return in_domain(op, c);
}

struct RowOfOp {
  OpId op;
  const AttentionKernel* row;
};
std::vector<RowOfOp> all_rows() {
  std::vector<RowOfOp> list;
  for (OpId op : kAttention)
    for (const AttentionKernel& row : test_rows(op)) list.push_back({op, &row});
  return list;
}
void PrintTo(const RowOfOp& p, std::ostream* stream) { *stream << p.row->name; }

class EmptyRows : public ::testing::TestWithParam<RowOfOp> {
 protected:
  // True if the row took the call.
  bool check(const AttentionCase& c, const Mechanism& mechanism) {
    CaseTensors t = make_tensors(c);
    mechanism.hide(t);
    try {
      run_row(*GetParam().row, t.args, t.params);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
      return false;
    }
    const auto verdicts = judge(t.args, t.params);
    EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
    EXPECT_EQ(t.damaged_guard(), "");
    const Oracle oracle(t.args, t.params);
    int empty = 0, seeing = 0;
    for (int64_t b = 0; b < c.batch; ++b)
      for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t i = 0; i < oracle.seqlen_q(b); ++i) {
          const OracleRow row = oracle.row(b, h, i);
          if (std::count(row.visible.begin(), row.visible.end(), true) > 0) {
            ++seeing;
            continue;
          }
          ++empty;
          for (int64_t e = 0; e < c.dim_v(); ++e)
            EXPECT_EQ(load(t.args.out, {b, i, h, e}), 0) << b << " " << h << " " << i;
          const double lse = load(t.args.lse, {b, h, i});
          if (c.sinks == PerHead::kNone)
            EXPECT_EQ(lse, -std::numeric_limits<double>::infinity());
          else
            EXPECT_TRUE(std::isfinite(lse));
        }
    EXPECT_GT(empty, 0) << "the mechanism hides no row";
    EXPECT_GT(seeing, 0) << "it hides them all";
    return true;
  }
};

TEST_P(EmptyRows, AreZeroByEveryMechanism) {
  const auto& [op, row] = GetParam();
  int taken = 0;
  for (const Mechanism& mechanism : kMechanisms) {
    for (DType dtype : {DType::kF32, DType::kBF16}) {
      for (PerHead sinks : {PerHead::kNone, PerHead::k2D}) {
        AttentionCase c = the_case(op, mechanism);
        if (!applies(op, c)) continue;
        c.dtype = dtype;
        c.sinks = sinks;
        SCOPED_TRACE(name(c));
        taken += check(c, mechanism);
      }
    }
  }
  if (taken == 0) GTEST_SKIP() << row->name << " takes none of these calls";
}

// Sequences without rows or without keys, at every place of a batch.
TEST_P(EmptyRows, OfSequencesOfLengthZeroAnywhere) {
  const auto& [op, row] = GetParam();
  const std::vector<int64_t> patterns[] = {{0, 5, 7}, {5, 0, 7}, {5, 7, 0}, {0, 0, 6}, {0, 0, 0}};
  int taken = 0;
  for (const auto& q_lens : patterns) {
    for (const auto& k_lens : patterns) {
      AttentionCase c;
      c.batch = 3, c.seqlen_q = c.seqlen_k = 7, c.heads = 2, c.head_dim = 16;
      c.lse = c.causal = true;
      c.layout = Layout::kRagged;
      c.diagonal = Diagonal::kBottomRight;
      c.q_lens = q_lens, c.k_lens = k_lens;
      c.dtype = q_lens[0] == 0 ? DType::kBF16 : DType::kF32;
      for (int64_t n : q_lens) c.label += std::to_string(n);
      for (int64_t n : k_lens) c.label += std::to_string(n);
      if (op == OpId::kPaged) c.family = Family::kPaged, c.page_size = 2;
      if (op == OpId::kDecode) {
        c.family = Family::kDecode, c.layout = Layout::kDense, c.end = true, c.seqlen_q = 1;
        c.q_lens.clear();
      }
      if (!in_domain(op, c)) continue;
      SCOPED_TRACE(name(c));
      CaseTensors t = make_tensors(c);
      try {
        run_row(*row, t.args, t.params);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
        continue;
      }
      ++taken;
      const auto verdicts = judge(t.args, t.params);
      EXPECT_TRUE(all_ok(verdicts)) << to_string(verdicts);
      EXPECT_EQ(t.damaged_guard(), "");
    }
  }
  if (taken == 0) GTEST_SKIP() << row->name << " takes none of these calls";
}

INSTANTIATE_TEST_SUITE_P(Rows, EmptyRows, ::testing::ValuesIn(all_rows()),
                         [](const auto& p) { return test_name_of(p.param.row->name); });

}  // namespace
}  // namespace attend::testing
