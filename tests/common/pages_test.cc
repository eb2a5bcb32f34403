// Where the keys of a paged call are: both forms of table, and the words that tell lengths.
#include "ops/common/pages.h"

#include <gtest/gtest.h>

#include "ops/common/layout.h"
#include "tests/support/worked.h"

namespace attend {
namespace {

using testing::Values;

// 2 requests, 4 rows of q each, pages of 3.
struct Call {
  AttentionArgs args;
  std::vector<Values> memory;

  Call() {
    args.q = shape(DType::kF32, {2, 4, 1, 1});
    args.k = shape(DType::kF32, {9, 3, 1, 1});
    args.v = shape(DType::kF32, {9, 3, 1, 1});
  }
  TensorView shape(DType dtype, std::initializer_list<int64_t> dims) {
    int64_t n = 1;
    for (const int64_t d : dims) n *= d;
    memory.emplace_back(dtype, dims, std::vector<double>(static_cast<size_t>(n), 0));
    return memory.back().view;
  }
  TensorView ints(std::initializer_list<int64_t> dims, const std::vector<double>& values,
                  DType dtype = DType::kI32) {
    memory.emplace_back(dtype, dims, values);
    return memory.back().view;
  }
};

std::vector<int64_t> ids(const PageTable& table) {
  std::vector<int64_t> list;
  for (int64_t n = 0; n < table.count; ++n) list.push_back(table.page(n));
  return list;
}

TEST(Pages, OfABlockTable) {
  for (const DType dtype : {DType::kI32, DType::kI64}) {
    Call c;
    EXPECT_FALSE(is_paged(c.args));
    c.args.seq.block_table = c.ints({2, 3}, {7, 5, -1, 2, 0, 8}, dtype);
    EXPECT_TRUE(is_paged(c.args));
    EXPECT_EQ(ids(page_table(c.args, 0)), (std::vector<int64_t>{7, 5, -1}));
    EXPECT_EQ(ids(page_table(c.args, 1)), (std::vector<int64_t>{2, 0, 8}));
    EXPECT_EQ(table_keys(c.args, 0), 9);
    // The same table by columns.
    c.args.seq.block_table = transposed(c.ints({3, 2}, {7, 2, 5, 0, -1, 8}, dtype), 0, 1);
    EXPECT_EQ(ids(page_table(c.args, 1)), (std::vector<int64_t>{2, 0, 8}));
  }
}

TEST(Pages, OfCsr) {
  Call c;
  c.args.q = c.shape(DType::kF32, {3, 4, 1, 1});
  c.args.seq.kv_indptr = c.ints({4}, {0, 2, 2, 5}, DType::kI64);
  c.args.seq.kv_indices = c.ints({5}, {8, 1, 4, 4, 6});
  c.args.seq.kv_last_page_len = c.ints({3}, {1, 0, 3});
  EXPECT_TRUE(is_paged(c.args));
  EXPECT_EQ(ids(page_table(c.args, 0)), (std::vector<int64_t>{8, 1}));
  EXPECT_EQ(ids(page_table(c.args, 1)), std::vector<int64_t>{});
  EXPECT_EQ(ids(page_table(c.args, 2)), (std::vector<int64_t>{4, 4, 6}));
  EXPECT_EQ(table_keys(c.args, 0), 4);
  EXPECT_EQ(table_keys(c.args, 1), 0);
  EXPECT_EQ(table_keys(c.args, 2), 9);
  EXPECT_EQ(paged_keys(c.args, 2).total(), 9);  // no other word: the table is full
}

// The first word that is given decides, in this order.
TEST(Pages, KeysOfARequest) {
  Call c;
  c.args.seq.block_table = c.ints({2, 3}, {0, 1, 2, 3, 4, 5});
  c.args.seq.context_lens = c.ints({2}, {2, 5});
  EXPECT_EQ(paged_keys(c.args, 1).cached, 9);  // with its four rows, which are stored
  c.args.seq.seqused_q = c.ints({2}, {1, 3});
  EXPECT_EQ(paged_keys(c.args, 1).cached, 8);
  c.args.seq.cu_seqlens_k = c.ints({3}, {0, 3, 10});
  EXPECT_EQ(paged_keys(c.args, 1).cached, 7);
  c.args.seq.seqused_k = c.ints({2}, {4, 6});
  EXPECT_EQ(paged_keys(c.args, 1).cached, 6);
  EXPECT_EQ(paged_keys(c.args, 1).own, 0);
  // Own rows come after what is cached, whatever the other words say.
  c.args.k_new = c.args.v_new = c.shape(DType::kF32, {8, 1, 1});
  EXPECT_EQ(paged_keys(c.args, 1).cached, 5);
  EXPECT_EQ(paged_keys(c.args, 1).own, 3);
  EXPECT_EQ(paged_keys(c.args, 1).total(), 8);
}

TEST(Pages, RowsInUseAndWhereOwnRowsBegin) {
  Call c;
  EXPECT_EQ(query_rows(c.args, 1), 4);
  EXPECT_EQ(first_new_row(c.args, 1), 4);
  c.args.seq.cu_seqlens_q = c.ints({3}, {0, 1, 8});
  EXPECT_EQ(query_rows(c.args, 1), 7);
  EXPECT_EQ(first_new_row(c.args, 1), 1);
  c.args.seq.seqused_q = c.ints({2}, {0, 2});
  EXPECT_EQ(query_rows(c.args, 1), 2);
  EXPECT_EQ(first_new_row(c.args, 1), 1);  // packed rows that are not in use keep their place
}

// A sequence read as kernels read it.
TEST(Pages, OfASequence) {
  Call c;
  c.args.seq.block_table = c.ints({2, 3}, {0, 1, 2, 3, 4, 5});
  c.args.seq.context_lens = c.ints({2}, {2, 5});
  c.args.k_new = c.args.v_new = c.shape(DType::kF32, {8, 1, 1});
  const Sequence s = sequence(c.args, {}, 1);
  EXPECT_EQ(s.k_len, 9);
  EXPECT_EQ(s.k_cached, 5);
  EXPECT_EQ(s.mask.seqlen_k, 9);
  EXPECT_EQ(s.mask.d, 5);  // row 0 stands behind the cached keys
}

}  // namespace
}  // namespace attend
