// Split algebra: attention over pieces of the keys, joined in random trees, is attention over all
// of them, by the error rule of contract 8.
#include <gtest/gtest.h>

#include <random>

#include "tests/merge/partials.h"
#include "tests/support/devices.h"
#include "tests/support/judge.h"
#include "tests/support/run_row.h"

namespace attend::testing {
namespace {

struct Split {
  const char* name;
  DType dtype;
  bool causal = false, sinks = false;
  int32_t window_left = -1;
  float softcap = 0;
};
constexpr int64_t kBatch = 2, kRows = 37, kKeys = 203, kHeads = 4, kKvHeads = 2, kDim = 24;

// One call of attention, of which parts are attended by themselves: keys [begin, end).
class Whole {
 public:
  explicit Whole(const Split& split, DeviceType device = DeviceType::kNative)
      : device_(device),
        q_(split.dtype, {kBatch, kRows, kHeads, kDim}, Strides::kContiguous, 1, 2),
        k_(split.dtype, {kBatch, kKeys, kKvHeads, kDim}, Strides::kHeadsFirst, 1, 2),
        v_(split.dtype, {kBatch, kKeys, kKvHeads, kDim}, Strides::kContiguous, 1, 2),
        out_(split.dtype, {kBatch, kRows, kHeads, kDim}, Strides::kContiguous, 1, 2),
        lse_(DType::kF32, {kBatch, kHeads, kRows}, Strides::kContiguous, 2, 1),
        sinks_(DType::kF32, {kHeads}, Strides::kContiguous, -1, 0) {
    q_.fill(11), k_.fill(12), v_.fill(13), sinks_.fill(14);
    args.q = q_.view, args.k = k_.view, args.v = v_.view;
    args.out = out_.view, args.lse = lse_.view;
    params.mask.causal = split.causal;
    params.mask.window_left = split.window_left;
    params.softcap = split.softcap;
    if (split.sinks) params.sinks = sinks_.view;
  }
  // A part in f32. Rows keep their positions, counted from the part's first key; the sinks belong
  // to one part.
  struct Part {
    Placed out, lse;
    int64_t begin, end;
  };
  Part part(int64_t begin, int64_t end, bool sinks) const {
    Part p{Placed(DType::kF32, {kBatch, kRows, kHeads, kDim}, Strides::kContiguous, 1, 2),
           Placed(DType::kF32, {kBatch, kHeads, kRows}, Strides::kContiguous, 2, 1), begin, end};
    AttentionArgs a = args;
    AttentionParams words = params;
    for (TensorView* t : {&a.k, &a.v}) {
      t->shape[1] = end - begin;
      t->data = address_of(*t, {0, begin});
    }
    a.out = p.out.view, a.lse = p.lse.view;
    std::vector<int64_t> q_start(kBatch, kKeys - kRows - begin);
    words.mask.q_start = contiguous(q_start.data(), DType::kI64, {kBatch});
    if (!sinks) words.sinks = {};
    forward_there(FlashAttention(), device_, a, words);
    return p;
  }

  AttentionArgs args;
  AttentionParams params;

 private:
  const DeviceType device_;
  Placed q_, k_, v_, out_, lse_, sinks_;
};

class SplitAlgebra : public ::testing::TestWithParam<std::tuple<Split, DeviceType>> {};

TEST_P(SplitAlgebra, RandomTreesOfPartsAreTheWhole) {
  const auto& [split, device] = GetParam();
  Whole whole(split, device);
  const Judge judge(whole.args, whole.params);
  std::mt19937 random(5);
  for (int tree = 0; tree < 6; ++tree) {
    std::vector<int64_t> cuts = {0, kKeys};
    for (int n = 0; n < 1 + 2 * tree; ++n) cuts.push_back(random() % (kKeys + 1));  // some twice
    std::sort(cuts.begin(), cuts.end());
    std::vector<Whole::Part> parts;
    for (size_t n = 0; n + 1 < cuts.size(); ++n)
      parts.push_back(whole.part(cuts[n], cuts[n + 1], n == 0));
    ASSERT_GE(parts.size(), 2u);
    while (parts.size() > 1) {  // any two, the result in place of either, or in the whole's output
      const size_t a = random() % parts.size();
      size_t b = random() % (parts.size() - 1);
      b += b >= a;
      MergeArgs m{parts[a].out.view, parts[a].lse.view, parts[b].out.view,
                  parts[b].lse.view, parts[a].out.view, parts[a].lse.view};
      if (parts.size() == 2) m.out = whole.args.out, m.lse = whole.args.lse;
      forward_there(MergePartials(), device, m, {});
      parts.erase(parts.begin() + static_cast<int64_t>(b));
    }
    const auto verdicts = judge.compare(whole.args);
    EXPECT_TRUE(all_ok(verdicts)) << "tree " << tree << "\n" << to_string(verdicts);
  }
}

constexpr Split kSplits[] = {{"F32", DType::kF32},
                             {"F16", DType::kF16},
                             {"BF16", DType::kBF16},
                             {"F32Causal", DType::kF32, true},
                             {"BF16CausalSinks", DType::kBF16, true, true},
                             {"F32Sinks", DType::kF32, false, true},
                             {"F32Window", DType::kF32, true, false, 20},
                             {"F16WindowSinksSoftcap", DType::kF16, true, true, 9, 5.0f}};
INSTANTIATE_TEST_SUITE_P(Merge, SplitAlgebra,
                         ::testing::Combine(::testing::ValuesIn(kSplits),
                                            ::testing::ValuesIn(test_devices())),
                         [](const auto& p) {
                           return std::get<0>(p.param).name + std::string("_") +
                                  name(std::get<1>(p.param));
                         });

// The other reading, sinks in both parts, must fail the same rule: the test above can see it.
TEST(SplitAlgebra, SinksCountedTwiceWouldShow) {
  Whole whole({"", DType::kF32, false, true});
  const Judge judge(whole.args, whole.params);
  Whole::Part a = whole.part(0, 100, true), b = whole.part(0, 0, true);
  Whole::Part rest = whole.part(100, kKeys, false);
  const MergePartials merge;
  merge.forward({a.out.view, a.lse.view, b.out.view, b.lse.view, a.out.view, a.lse.view}, {});
  merge.forward(
      {a.out.view, a.lse.view, rest.out.view, rest.lse.view, whole.args.out, whole.args.lse}, {});
  EXPECT_FALSE(all_ok(judge.compare(whole.args)));
}

}  // namespace
}  // namespace attend::testing
