// Cascade attention: keys that requests share are attended once, by all their rows together, what
// is their own apart, and the parts are merged. It means the same as one paged call whose tables
// name all the pages; both are held to the same float64 reference.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/merge/partials.h"
#include "tests/support/devices.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"

namespace attend::testing {
namespace {

constexpr int64_t kPageSize = 4, kHeads = 4, kKvHeads = 2, kDim = 40;

struct Cascade {
  const char* name;
  DType dtype;
  int64_t rows;              // of each request
  std::vector<int64_t> own;  // keys of each request behind the prefix
  int64_t shared_pages;      // by all
  int64_t group_pages = 0;   // then by each pair of requests
  bool causal = true;
  bool sinks = false;
};

// Pages of a pool: the prefix, then each pair's, then each request's, in the order of the pool.
class Requests {
 public:
  Requests(const Cascade& c, DeviceType device)
      : c_(c),
        device_(device),
        batch_(static_cast<int64_t>(c.own.size())),
        own_pages_((*std::max_element(c.own.begin(), c.own.end()) + kPageSize - 1) / kPageSize),
        pages_(c.shared_pages + pairs() * c.group_pages + batch_ * own_pages_),
        k_(c.dtype, {pages_, kPageSize, kKvHeads, kDim}, Strides::kContiguous, 1, 2),
        v_(c.dtype, {pages_, kPageSize, kKvHeads, kDim}, Strides::kContiguous, 1, 2),
        q_(c.dtype, {batch_, c.rows, kHeads, kDim}, Strides::kContiguous, 1, 2),
        out_(c.dtype, {batch_, c.rows, kHeads, kDim}, Strides::kContiguous, 1, 2),
        lse_(DType::kF32, {batch_, kHeads, c.rows}, Strides::kContiguous, 2, 1),
        sinks_(DType::kF32, {kHeads}, Strides::kContiguous, -1, 0) {
    k_.fill(1), v_.fill(2), q_.fill(3), sinks_.fill(4);
    for (int64_t b = 0; b < batch_; ++b) {
      for (int64_t n = 0; n < c.shared_pages; ++n) table_.push_back(static_cast<int32_t>(n));
      for (int64_t n = 0; n < c.group_pages; ++n)
        table_.push_back(static_cast<int32_t>(c.shared_pages + b / 2 * c.group_pages + n));
      for (int64_t n = 0; n < own_pages_; ++n) {
        table_.push_back(static_cast<int32_t>(first_own() + b * own_pages_ + n));
        own_table_.push_back(table_.back());
      }
      const int64_t shared = (c.shared_pages + c.group_pages) * kPageSize;
      keys_.push_back(static_cast<int32_t>(shared + c.own[static_cast<size_t>(b)]));
      own_keys_.push_back(static_cast<int32_t>(c.own[static_cast<size_t>(b)]));
    }
    whole.q = q_.view, whole.out = out_.view, whole.lse = lse_.view;
    whole.k = k_.view, whole.v = v_.view;
    const int64_t entries = static_cast<int64_t>(table_.size()) / batch_;
    whole.seq.block_table = contiguous(table_.data(), DType::kI32, {batch_, entries});
    whole.seq.seqused_k = contiguous(keys_.data(), DType::kI32, {batch_});
    params.mask.causal = c.causal;
    if (c.sinks) params.sinks = sinks_.view;
  }

  // One call over all the pages.
  void attend_whole() { forward_there(PagedAttention(), device_, whole, params); }

  // The prefix once, each pair's pages once a pair, each request's own, merged level by level.
  void attend_in_parts() {
    Placed out = rows(), lse = sums(), next_out = rows(), next_lse = sums();
    attend_shared(0, batch_, 0, c_.shared_pages, out, lse);
    if (c_.group_pages > 0) {
      for (int64_t pair = 0; pair < pairs(); ++pair)
        attend_shared(2 * pair, std::min<int64_t>(2, batch_ - 2 * pair),
                      c_.shared_pages + pair * c_.group_pages, c_.group_pages, next_out, next_lse);
      join({out.view, lse.view, next_out.view, next_lse.view, out.view, lse.view});
    }
    attend_own(next_out, next_lse);
    join({out.view, lse.view, next_out.view, next_lse.view, whole.out, whole.lse});
  }
  void forget_outputs() {
    for (const Placed* t : {&out_, &lse_})
      t->for_each([&](const auto&, std::byte* at) { store(t->view.dtype, at, kNaN); });
  }

  AttentionArgs whole;
  AttentionParams params;

 private:
  void join(const MergeArgs& m) const { forward_there(MergePartials(), device_, m, {}); }
  int64_t pairs() const { return (batch_ + 1) / 2; }
  int64_t first_own() const { return c_.shared_pages + pairs() * c_.group_pages; }
  Placed rows() const {  // parts are f32, so that only the result is rounded
    return Placed(DType::kF32, {batch_, c_.rows, kHeads, kDim}, Strides::kContiguous, 1, 2);
  }
  // lse of a part, [batch, heads, rows] in memory [heads, batch, rows]: one sequence of all rows.
  Placed sums() const {
    Placed t(DType::kF32, {kHeads, batch_, c_.rows}, Strides::kContiguous, 2, 1);
    t.view = transposed(t.view, 0, 1);
    return t;
  }

  // Rows of `count` requests from `first` on as one sequence against consecutive pages, all of
  // whose keys every row sees.
  void attend_shared(int64_t first, int64_t count, int64_t page, int64_t pages, const Placed& out,
                     const Placed& lse) const {
    AttentionArgs a;
    const auto as_one = [&](const TensorView& t) {
      return contiguous(address_of(t, {first}), t.dtype, {1, count * c_.rows, kHeads, kDim});
    };
    const auto keys = [&](const TensorView& t) {
      return contiguous(address_of(t, {page}), t.dtype, {1, pages * kPageSize, kKvHeads, kDim});
    };
    a.q = as_one(q_.view), a.out = as_one(out.view);
    a.k = keys(k_.view), a.v = keys(v_.view);
    a.lse = contiguous(address_of(lse.view, {first}), DType::kF32, {1, kHeads, count * c_.rows});
    a.lse.stride[1] = batch_ * c_.rows;
    forward_there(FlashAttention(), device_, a, {});
  }
  void attend_own(const Placed& out, const Placed& lse) const {  // the sinks are here, once
    AttentionArgs a = whole;
    a.out = out.view, a.lse = lse.view;
    a.seq.block_table =
        contiguous(const_cast<int32_t*>(own_table_.data()), DType::kI32, {batch_, own_pages_});
    a.seq.seqused_k = contiguous(const_cast<int32_t*>(own_keys_.data()), DType::kI32, {batch_});
    forward_there(PagedAttention(), device_, a, params);
  }

  const Cascade& c_;
  const DeviceType device_;
  const int64_t batch_, own_pages_, pages_;
  Placed k_, v_, q_, out_, lse_, sinks_;
  std::vector<int32_t> table_, own_table_, keys_, own_keys_;
};

class CascadeTest : public ::testing::TestWithParam<std::tuple<Cascade, DeviceType>> {};

TEST_P(CascadeTest, PartsMeanTheSameAsOnePagedCall) {
  const auto& [cascade, device] = GetParam();
  Requests requests(cascade, device);
  const Judge judge(requests.whole, requests.params);
  requests.attend_in_parts();
  const auto parts = judge.compare(requests.whole);
  EXPECT_TRUE(all_ok(parts)) << "in parts\n" << to_string(parts);
  requests.forget_outputs();
  requests.attend_whole();
  const auto whole = judge.compare(requests.whole);
  EXPECT_TRUE(all_ok(whole)) << "in one call\n" << to_string(whole);
}

const Cascade kCascades[] = {
    {"DecodeF32", DType::kF32, 1, {1, 5, 8, 3}, 6},
    {"DecodeBF16", DType::kBF16, 1, {9, 2, 4}, 9},
    {"ExtendF32", DType::kF32, 5, {5, 13, 6}, 3},
    {"ExtendF16", DType::kF16, 7, {7, 11}, 5},
    {"TwoLevelsF32", DType::kF32, 2, {2, 6, 3, 9, 4}, 4, 2},
    {"TwoLevelsBF16Sinks", DType::kBF16, 1, {2, 6, 3}, 4, 3, true, true},
    {"NothingOfItsOwn", DType::kF32, 3, {0, 7, 0}, 2, 0, false},
    {"SinksF32", DType::kF32, 3, {4, 3}, 2, 0, true, true},
};
INSTANTIATE_TEST_SUITE_P(Merge, CascadeTest,
                         ::testing::Combine(::testing::ValuesIn(kCascades),
                                            ::testing::ValuesIn(test_devices())),
                         [](const auto& p) {
                           return std::get<0>(p.param).name + std::string("_") +
                                  name(std::get<1>(p.param));
                         });

}  // namespace
}  // namespace attend::testing
