// The worked oracles O11 and O16 through pages, and O3 and O6 with multi-token queries: values
// computed in float64 and printed to six decimals.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/ops/rows.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

constexpr int64_t kPageSize = 2, kPages = 5;

// The keys of a worked call in pages of two: token p in slot table[p / 2] * 2 + p % 2; all other
// slots hold 777.
struct WorkedPages {
  Worked w;
  Values k, v, table, csr_indptr, csr_last, used;

  WorkedPages(int64_t rows, int64_t keys, int64_t heads, DType dtype,
              const std::vector<double>& stored = {3, 1, 4})
      : w(rows, keys, heads, 1, dtype),
        k(scattered(w.k, keys, stored, dtype)),
        v(scattered(w.v, keys, stored, dtype)),
        used(DType::kI32, {1}, {static_cast<double>(keys)}) {
    w.args.k = k;
    w.args.v = v;
    w.args.seq.seqused_k = used;
    read_by(stored);
  }
  void read_by(const std::vector<double>& pages) {
    table = Values(DType::kI32, {1, static_cast<int64_t>(pages.size())}, pages);
    w.args.seq.block_table = table;
  }
  void use_csr(double last) {
    csr_indptr = Values(DType::kI32, {2}, {0, static_cast<double>(table.view.dim(1))});
    csr_last = Values(DType::kI32, {1}, {last});
    w.args.seq.kv_indices = contiguous(table.view.data, DType::kI32, {table.view.dim(1)});
    w.args.seq.kv_indptr = csr_indptr;
    w.args.seq.kv_last_page_len = csr_last;
    w.args.seq.block_table = w.args.seq.seqused_k = {};
  }
  void pretend(double keys) {
    used = Values(DType::kI32, {1}, {keys});
    w.args.seq.seqused_k = used;
  }

  static Values scattered(const Values& rows, int64_t keys, const std::vector<double>& pages,
                          DType dtype) {
    std::vector<double> slots(static_cast<size_t>(kPages * kPageSize * 2), 777);
    const std::vector<double> all = rows.all();
    for (size_t p = 0; p < static_cast<size_t>(keys); ++p) {
      const size_t slot = static_cast<size_t>(pages[p / 2]) * 2 + p % 2;
      for (size_t e = 0; e < 2; ++e) slots[slot * 2 + e] = all[p * 2 + e];
    }
    return Values(dtype, {kPages, kPageSize, 1, 2}, slots);
  }
};

class PagedOracles : public RowTest {
 protected:
  double tolerance() const {
    return dtype() == DType::kF32 ? 2e-6 : dtype() == DType::kF16 ? 4e-3 : 3e-2;
  }
  void expect_out(WorkedPages& p, const std::vector<double>& want) {
    if (!run(p.w.args, p.w.params)) return;
    const std::vector<double> got = p.w.out.all();
    ASSERT_EQ(got.size(), want.size());
    for (size_t n = 0; n < got.size(); ++n) EXPECT_NEAR(got[n], want[n], tolerance()) << n;
  }
  void expect_poison(WorkedPages& p) {
    if (!run(p.w.args, p.w.params)) return;
    for (double x : p.w.out.all()) EXPECT_GT(std::abs(x), 50) << "777 is a key of these";
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, PagedOracles, ::testing::ValuesIn(rows_and_dtypes({OpId::kPaged})),
                         [](const auto& p) { return test_name(p.param); });

const std::vector<double> kDecode = {0.296889, 0.343064, 0.491114, 0.421927};

TEST_P(PagedOracles, O11Decode) {
  WorkedPages right(1, 5, 2, dtype()), csr(1, 5, 2, dtype());
  csr.use_csr(1);
  expect_out(right, kDecode);
  expect_out(csr, kDecode);
}

TEST_P(PagedOracles, O11SwappedPages) {
  // One row sees full pages in any order alike; a partial page must stay the last.
  WorkedPages full(1, 5, 2, dtype()), partial(1, 5, 2, dtype()), longer(1, 5, 2, dtype());
  full.read_by({1, 3, 4});
  partial.read_by({3, 4, 1});
  longer.pretend(6);
  expect_out(full, kDecode);
  expect_poison(partial);
  expect_poison(longer);
}

TEST_P(PagedOracles, O11Extend) {
  WorkedPages extend(2, 5, 2, dtype()), windowed(2, 5, 2, dtype()), swapped(2, 5, 2, dtype());
  for (WorkedPages* p : {&extend, &windowed, &swapped}) p->w.params.mask.causal = true;
  windowed.w.params.mask.window_left = 1;
  const std::vector<double> want = {0.320724,  0.211719,  0.545637,  0.348489,
                                    -0.018424, -0.012858, -0.481701, -0.327325};
  expect_out(extend, want);
  expect_out(windowed, {-0.721141, -0.716323, -0.669864, -0.779387, -0.428553, 0.083799, -0.698083,
                        -0.213450});
  // A key of the first row moves behind it: with a window the order of pages shows.
  swapped.w.params.mask.window_left = 2;
  swapped.read_by({1, 3, 4});
  if (!run(swapped.w.args, swapped.w.params)) return;
  double far = 0;
  for (size_t n = 0; n < want.size(); ++n)
    far = std::max(far, std::abs(swapped.w.out.all()[n] - want[n]));
  EXPECT_GT(far, 0.1);
}

// The last two keys are this call's own rows; the pages hold the first three.
TEST_P(PagedOracles, O11OwnRowsBehindTheCachedKeys) {
  for (double slot : {-1.0, 9.0}) {
    WorkedPages p(2, 5, 2, dtype());
    const std::vector<double> k = p.w.k.all(), v = p.w.v.all();
    const Values k_new(dtype(), {2, 1, 2}, {k.begin() + 6, k.end()}),
        v_new(dtype(), {2, 1, 2}, {v.begin() + 6, v.end()});
    const Values context(DType::kI32, {1}, {3}), slots(DType::kI32, {2}, {slot, -1});
    const auto at = [](const Values& pages, int64_t slot_number, int64_t e) {
      return address_of(pages.view, {slot_number / kPageSize, slot_number % kPageSize, 0, e});
    };
    for (int64_t stood : {3, 8})  // tokens 3 and 4
      for (int64_t e = 0; e < 2; ++e)
        for (Values* pages : {&p.k, &p.v}) store(dtype(), at(*pages, stood, e), 777);
    const double poison = load(dtype(), at(p.k, 8, 0));
    p.w.args.k_new = k_new;
    p.w.args.v_new = v_new;
    p.w.args.seq.context_lens = context;
    p.w.args.seq.slot_mapping = slots;
    p.w.params.mask.causal = true;
    expect_out(
        p, {0.320724, 0.211719, 0.545637, 0.348489, -0.018424, -0.012858, -0.481701, -0.327325});
    if (IsSkipped()) return;
    for (int64_t e = 0; e < 2; ++e) {
      EXPECT_EQ(load(dtype(), at(p.k, 9, e)), slot < 0 ? poison : load(k_new.view, {0, 0, e}));
      EXPECT_EQ(load(dtype(), at(p.v, 9, e)), slot < 0 ? poison : load(v_new.view, {0, 0, e}));
      EXPECT_EQ(load(dtype(), at(p.k, 8, e)), poison) << "the second row is not kept";
    }
  }
}

TEST_P(PagedOracles, O16MaximumInTheFirstAndInTheSecondBlock) {
  WorkedPages filled(1, 4, 1, dtype(), {2, 0});
  expect_out(filled, {0.320724, 0.211719});
  if (IsSkipped()) return;
  EXPECT_NEAR(filled.w.lse.all()[0], 1.470541, tolerance());
}

}  // namespace
}  // namespace attend::testing
