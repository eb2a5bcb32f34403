// Paged equals the gathered contiguous call bit for bit on the same instruction set (contract 7):
// over every case of the list, and over every length of keys around the borders of pages.
#include <gtest/gtest.h>

#include <map>

#include "attend/error.h"
#include "tests/paged/gather.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"
#include "tests/support/tensors.h"

namespace attend::testing {
namespace {

std::string on(const char* op, const AttentionKernel& row) {  // "flash" on that row's instructions
  return op + std::string(row.name).substr(std::string(row.name).find('/'));
}

// The contiguous operator that takes these keys; null if there is none.
const char* counterpart(const AttentionArgs& gathered) {
  if (gathered.k.dtype == gathered.q.dtype && gathered.v.dtype == gathered.q.dtype) return "flash";
  return !gathered.seq.cu_seqlens_q && gathered.q.dim(1) == 1 ? "decode" : nullptr;
}

// Runs one case on every row of paged and on its counterpart; says how often by operator.
class Gathering : public ::testing::Test {
 protected:
  void compare(const AttentionCase& c) {
    SCOPED_TRACE(name(c));
    CaseTensors t = make_tensors(c);
    const std::unique_ptr<Gathered> g = gather(t.args, t.params);
    const char* op = g ? counterpart(g->args) : nullptr;
    if (!op) return;
    for (const AttentionKernel& row : test_rows(OpId::kPaged)) {
      t.reset_outputs();
      try {
        run_row(row, t.args, t.params);
      } catch (const Error& e) {
        ASSERT_EQ(e.code(), ErrorCode::kUnsupported) << e.what();
        continue;
      }
      const std::vector<std::byte> paged = t.output_bytes(false);
      t.reset_outputs();
      ASSERT_NO_THROW(on_device(row.device, g->args, g->params, {}, [&](const auto&... call) {
        return attention_op(op_from_name(op)).run_kernel(on(op, row), call...);
      }));
      EXPECT_TRUE(t.output_bytes(false) == paged) << row.name << " and " << on(op, row);
      ++compared_[on(op, row)];
    }
  }
  std::map<std::string, int> compared_;
};

TEST_F(Gathering, EveryCaseHasTheBitsOfTheContiguousCall) {
  for (const AttentionCase& c : cases(tier_from_environment()))
    if (c.paged()) compare(c);
  for (DeviceType device : test_devices()) {
    EXPECT_GE(compared_[portable_row(OpId::kFlash, device)], 100);
    EXPECT_GE(compared_[portable_row(OpId::kDecode, device)], 5);
  }
}

// Lengths from 1 to 3 pages and 1; of large pages those around their borders.
std::vector<int64_t> lengths_around(int64_t page_size, bool all) {
  std::vector<int64_t> lengths;
  for (int64_t n = 1; n <= 3 * page_size + 1; ++n) {
    const int64_t in_page = n % page_size;
    if (all || page_size <= 16 || in_page <= 2 || in_page >= page_size - 2 || n % 19 == 0)
      lengths.push_back(n);
  }
  return lengths;
}

class PageBorders : public Gathering, public ::testing::WithParamInterface<int64_t> {};

TEST_P(PageBorders, OfEveryOrderAndTableHaveTheBitsOfTheContiguousCall) {
  int n = 0;
  for (PageOrder order : {PageOrder::kInOrder, PageOrder::kShuffled, PageOrder::kReversed,
                          PageOrder::kSharedPrefix}) {
    for (PageTable table : {PageTable::kBlockTable, PageTable::kCsr}) {
      for (int64_t rows : {1, 3}) {
        AttentionCase c;
        c.label = "borders";
        c.family = Family::kPaged;
        c.page_size = GetParam();
        c.page_order = order;
        c.table = table;
        c.keys_from = table == PageTable::kCsr ? KeysFrom::kCsrAlone : KeysFrom::kSequsedK;
        c.k_lens = lengths_around(c.page_size, tier_from_environment() == Tier::kFull);
        c.batch = static_cast<int64_t>(c.k_lens.size());
        c.seqlen_q = rows, c.seqlen_k = c.k_lens.back();
        c.heads = 2, c.head_dim = 4;
        c.causal = c.lse = true;
        c.dtype = ++n % 2 ? DType::kF32 : DType::kBF16;
        compare(c);
        if (rows > 1) continue;  // quantised caches have decode beside them
        c.k_cache = c.v_cache = n % 4 < 2 ? DType::kF8E4M3 : DType::kI8;
        c.descale = Descale::kBatchHeads;
        compare(c);
      }
    }
  }
  for (DeviceType device : test_devices()) {
    EXPECT_EQ(compared_[portable_row(OpId::kFlash, device)], 16);
    EXPECT_EQ(compared_[portable_row(OpId::kDecode, device)], 8);
  }
}

INSTANTIATE_TEST_SUITE_P(PageSizes, PageBorders, ::testing::Values(1, 2, 8, 16, 32, 64, 128, 256));

}  // namespace
}  // namespace attend::testing
