// Joining two partial results: the worked oracle O12, every combination of element types, strides
// and layouts against float64, empty parts, and results in place.
#include <gtest/gtest.h>

#include <bit>

#include "attend/parallel.h"
#include "tests/merge/partials.h"
#include "tests/support/devices.h"
#include "tests/support/run_row.h"
#include "tests/support/worked.h"

namespace attend::testing {
namespace {

std::vector<const MergeKernel*> rows() {
  std::vector<const MergeKernel*> list;
  for (const MergeKernel& row : test_merge_rows())
    if (row.available(Device{row.device, 0})) list.push_back(&row);
  return list;
}
void run(const MergeKernel* row, const MergeArgs& args) {
  EXPECT_STREQ(run_row(*row, args).kernel, row->name);
}

TEST(Merge, HasAPortableRow) {
  for (DeviceType device : test_devices()) {
    const auto all = Registry::global().merge_kernels(device);
    ASSERT_FALSE(all.empty());
    EXPECT_EQ(all.back().name, portable_row(OpId::kMerge, device));
  }
}

// O12: T 1, S 5, H 1, D 2, parts [0, 3) and [3, 5).
struct O12 {
  DType dtype;
  bool ragged;
  Values out_a, out_b, out, lse_a, lse_b, lse;
  MergeArgs args;

  O12(DType type, bool packed)
      : dtype(type),
        ragged(packed),
        out_a(rows({0.531609, 0.326137})),
        out_b(rows({-0.163368, 0.376256})),
        out(rows({kNaN, kNaN})),
        lse_a(scalar(1.314241)),
        lse_b(scalar(0.640849)),
        lse(scalar(kNaN)) {
    args = {out_a, lse_a, out_b, lse_b, out, lse};
  }
  Values rows(const std::vector<double>& values) const {
    return ragged ? Values(dtype, {1, 1, 2}, values) : Values(dtype, {1, 1, 1, 2}, values);
  }
  Values scalar(double value) const {
    return ragged ? Values(DType::kF32, {1, 1}, {value}) : Values(DType::kF32, {1, 1, 1}, {value});
  }
};

TEST(Merge, O12) {
  for (const MergeKernel* row : rows()) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (bool ragged : {false, true}) {
        O12 t(dtype, ragged);
        run(row, t.args);
        const double tolerance = dtype == DType::kF32 ? 2e-6 : dtype == DType::kF16 ? 5e-4 : 4e-3;
        EXPECT_NEAR(t.out.all()[0], 0.296889, tolerance) << row->name << name(dtype);
        EXPECT_NEAR(t.out.all()[1], 0.343064, tolerance) << row->name << name(dtype);
        EXPECT_NEAR(t.lse.all()[0], 1.726334, 2e-6) << row->name << name(dtype);
      }
    }
  }
}

// Two parts of some shape, and an output.
struct Case {
  std::vector<int64_t> shape;  // [batch, seqlen_q, heads, dim] or [total_q, heads, dim]
  DType a, b, out;
  Strides strides;

  friend std::ostream& operator<<(std::ostream& s, const Case& c) {
    for (int64_t n : c.shape) s << n << " ";
    return s << name(c.a) << " " << name(c.b) << " " << name(c.out) << " strides "
             << static_cast<int>(c.strides);
  }
};

class Parts {
 public:
  explicit Parts(const Case& c) {
    const auto rank = static_cast<int>(c.shape.size());
    std::vector<int64_t> lse_shape(c.shape.begin(), c.shape.end() - 1);
    std::swap(lse_shape[lse_shape.size() - 1], lse_shape[lse_shape.size() - 2]);
    const auto rows = [&](DType dtype) {
      return Placed(dtype, c.shape, c.strides, rank - 3, rank - 2);
    };
    const auto sums = [&] { return Placed(DType::kF32, lse_shape, c.strides, rank - 2, rank - 3); };
    out_a = rows(c.a), out_b = rows(c.b), out = rows(c.out);
    lse_a = sums(), lse_b = sums(), lse = sums();
    out_a.fill(1), out_b.fill(2), lse_a.fill(3, 4.0), lse_b.fill(4, 4.0);
    args = {out_a.view, lse_a.view, out_b.view, lse_b.view, out.view, lse.view};
  }
  // Holds out and lse to float64: the factors' error is some eps, the output's rounding its dtype's.
  void expect_joined() const {
    constexpr double kEps = 0x1p-24;
    const std::vector<double> a = out_a.all(), b = out_b.all(), la = lse_a.all(), lb = lse_b.all(),
                              got = out.all(), got_lse = lse.all();
    const int64_t heads = args.out.dim(-2), seqlen = args.out.dim(-3), dim = args.out.dim(-1);
    const auto row_of = [&](size_t n) {  // lse is [.., heads, seqlen]
      const auto row = static_cast<int64_t>(n) / dim;
      return static_cast<size_t>(row / (seqlen * heads) * seqlen * heads + row % heads * seqlen +
                                 row / heads % seqlen);
    };
    for (size_t n = 0; n < got.size(); ++n) {
      const Joined j = join(la[row_of(n)], lb[row_of(n)]);
      const double gold = j.factor_a * a[n] + j.factor_b * b[n];
      const double allowed = unit_roundoff(args.out.dtype) * std::abs(gold) +
                             8 * kEps * (std::abs(a[n]) + std::abs(b[n])) +
                             least_normal(args.out.dtype);
      ASSERT_NEAR(got[n], gold, allowed) << "element " << n;
    }
    for (size_t n = 0; n < got_lse.size(); ++n) {
      const double gold = join(la[n], lb[n]).lse;
      ASSERT_NEAR(got_lse[n], gold, 4 * kEps * (std::abs(gold) + 1)) << "lse " << n;
    }
    for (const Placed* input : {&out_a, &out_b, &lse_a, &lse_b}) EXPECT_TRUE(input->untouched());
    for (const Placed* output : {&out, &lse}) EXPECT_TRUE(output->gaps_untouched());
  }

  Placed out_a, out_b, out, lse_a, lse_b, lse;
  MergeArgs args;
};

TEST(Merge, JoinsEveryTypeStrideAndLayout) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
  constexpr Strides kStrides[] = {Strides::kContiguous, Strides::kHeadsFirst, Strides::kLastStep2,
                                  Strides::kNegative, Strides::kOddBase};
  const std::vector<int64_t> shapes[] = {{2, 5, 3, 8}, {1, 1, 1, 1},   {3, 1, 2, 64}, {7, 2, 255},
                                         {130, 1, 16}, {2, 3, 2, 257}, {1, 2, 1, 576}};
  for (const MergeKernel* row : rows()) {
    size_t which = 0;
    for (DType a : kTypes)
      for (DType b : kTypes)
        for (DType out : kTypes)
          for (Strides strides : kStrides) {
            const Case c{shapes[which++ % std::size(shapes)], a, b, out, strides};
            SCOPED_TRACE(::testing::PrintToString(c) + row->name);
            Parts t(c);
            run(row, t.args);
            t.expect_joined();
          }
  }
}

TEST(Merge, LseIsOptional) {
  for (const MergeKernel* row : rows()) {
    Parts t({{2, 5, 3, 8}, DType::kF32, DType::kF32, DType::kF32, Strides::kContiguous});
    t.args.lse = {};
    run(row, t.args);
    EXPECT_TRUE(t.lse.untouched());
    EXPECT_FALSE(std::isnan(t.out.all()[0]));
  }
}

TEST(Merge, BroadcastPartsAreRead) {  // one row of b for all queries
  for (const MergeKernel* row : rows()) {
    Parts t({{2, 5, 3, 8}, DType::kF32, DType::kBF16, DType::kF16, Strides::kContiguous});
    t.args.out_b.stride[1] = 0;
    t.args.lse_b.stride[2] = 0;
    run(row, t.args);
    for (int64_t i = 0; i < 5; ++i) {
      const Joined j = join(load(t.args.lse_a, {1, 2, i}), load(t.args.lse_b, {1, 2, 0}));
      const double gold = j.factor_a * load(t.args.out_a, {1, i, 2, 7}) +
                          j.factor_b * load(t.args.out_b, {1, 0, 2, 7});
      EXPECT_NEAR(load(t.args.out, {1, i, 2, 7}), gold, 0x1p-11 * std::abs(gold) + 1e-5);
    }
  }
}

// An empty part has lse -inf and contributes nothing, whatever its memory holds; the other part
// comes out bit for bit, its sign of zero included.
TEST(Merge, AnEmptyPartWeighsNothing) {
  for (const MergeKernel* row : rows()) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (bool a_is_empty : {true, false}) {
        Parts t({{2, 5, 3, 8}, dtype, dtype, dtype, Strides::kOddBase});
        Placed& empty = a_is_empty ? t.out_a : t.out_b;
        Placed& full = a_is_empty ? t.out_b : t.out_a;
        empty.for_each([&](const auto&, std::byte* at) { store(dtype, at, kNaN); });
        (a_is_empty ? t.lse_a : t.lse_b).for_each([&](const auto&, std::byte* at) {
          store(DType::kF32, at, -kInfinity);
        });
        store(dtype, address_of(full.view, {1, 4, 2, 7}), -0.0);
        run(row, t.args);
        EXPECT_EQ(t.out.all(), full.all()) << row->name << name(dtype);
        EXPECT_TRUE(std::signbit(load(t.out.view, {1, 4, 2, 7})));
        EXPECT_EQ(t.lse.all(), (a_is_empty ? t.lse_b : t.lse_a).all());
      }
    }
  }
}

TEST(Merge, TwoEmptyPartsGiveZeroAndMinusInfinity) {
  for (const MergeKernel* row : rows()) {
    Parts t({{3, 2, 5}, DType::kF16, DType::kF32, DType::kBF16, Strides::kContiguous});
    for (Placed* part : {&t.out_a, &t.out_b})
      part->for_each([&](const auto&, std::byte* at) { store(part->view.dtype, at, kNaN); });
    for (Placed* lse : {&t.lse_a, &t.lse_b})
      lse->for_each([&](const auto&, std::byte* at) { store(DType::kF32, at, -kInfinity); });
    run(row, t.args);
    EXPECT_EQ(t.out.all(), std::vector<double>(30, 0.0));
    EXPECT_EQ(t.lse.all(), std::vector<double>(6, -kInfinity));
  }
}

TEST(Merge, NaNInPartsThatCountShows) {
  for (const MergeKernel* row : rows()) {
    Parts t({{4, 1, 2}, DType::kF32, DType::kF32, DType::kF32, Strides::kContiguous});
    store(DType::kF32, address_of(t.out_a.view, {0, 0, 1}), kNaN);  // in one element
    store(DType::kF32, address_of(t.lse_b.view, {0, 1}), kNaN);     // of a whole row
    store(DType::kF32, address_of(t.lse_a.view, {0, 2}), -kInfinity);
    store(DType::kF32, address_of(t.lse_b.view, {0, 2}), kNaN);  // beside an empty part
    run(row, t.args);
    const std::vector<double> out = t.out.all(), lse = t.lse.all();
    for (size_t n : {1u, 2u, 3u, 4u, 5u}) EXPECT_TRUE(std::isnan(out[n])) << n;
    for (size_t n : {0u, 6u, 7u}) EXPECT_FALSE(std::isnan(out[n])) << n;
    EXPECT_FALSE(std::isnan(lse[0]));
    EXPECT_TRUE(std::isnan(lse[1]) && std::isnan(lse[2]));
  }
}

TEST(Merge, FarApartSumsDoNotOverflow) {
  for (const MergeKernel* row : rows()) {
    Parts t({{3, 1, 2}, DType::kF32, DType::kF32, DType::kF32, Strides::kContiguous});
    const double sums[][2] = {{3e4, -3e4}, {-1e30, 1e30}, {8e4, 8e4}};
    for (int64_t i = 0; i < 3; ++i) {
      store(DType::kF32, address_of(t.lse_a.view, {0, i}), sums[i][0]);
      store(DType::kF32, address_of(t.lse_b.view, {0, i}), sums[i][1]);
    }
    t.lse_a.remember(), t.lse_b.remember();
    run(row, t.args);
    t.expect_joined();
  }
}

std::vector<uint64_t> bits(const Placed& t) {
  std::vector<uint64_t> all;
  for (double x : t.all()) all.push_back(std::bit_cast<uint64_t>(x));
  return all;
}

TEST(Merge, InPlaceGivesTheSameBits) {
  for (const MergeKernel* row : rows()) {
    for (Strides strides : {Strides::kContiguous, Strides::kNegative, Strides::kLastStep2}) {
      const Case c{{2, 3, 2, 300}, DType::kF16, DType::kF16, DType::kF16, strides};
      Parts apart(c);
      run(row, apart.args);
      for (bool into_a : {true, false}) {
        Parts in(c);
        in.args.out = into_a ? in.args.out_a : in.args.out_b;
        in.args.lse = into_a ? in.args.lse_a : in.args.lse_b;
        run(row, in.args);
        EXPECT_EQ(bits(into_a ? in.out_a : in.out_b), bits(apart.out));
        EXPECT_EQ(bits(into_a ? in.lse_a : in.lse_b), bits(apart.lse));
        EXPECT_TRUE((into_a ? in.out_b : in.out_a).untouched());
        EXPECT_TRUE((into_a ? in.out_a : in.out_b).gaps_untouched());
      }
      Parts crossed(c);  // out in a, lse in b
      crossed.args.out = crossed.args.out_a;
      crossed.args.lse = crossed.args.lse_b;
      run(row, crossed.args);
      EXPECT_EQ(bits(crossed.out_a), bits(apart.out));
      EXPECT_EQ(bits(crossed.lse_b), bits(apart.lse));
    }
  }
}

TEST(Merge, ThreadsDoNotChangeBits) {
  for (const MergeKernel* row : rows()) {
    const Case c{{3, 70, 5, 40}, DType::kBF16, DType::kF32, DType::kF16, Strides::kHeadsFirst};
    const int32_t before = num_threads();
    Parts one(c), many(c);
    set_num_threads(1);
    run(row, one.args);
    set_num_threads(5);
    run(row, many.args);
    set_num_threads(before);
    EXPECT_EQ(bits(one.out), bits(many.out));
    EXPECT_EQ(bits(one.lse), bits(many.lse));
  }
}

TEST(Merge, NothingToJoinIsLegal) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{0, 3, 2, 8}, {2, 0, 2, 8}, {2, 3, 0, 8}, {0, 2, 8}}) {
    Parts t({shape, DType::kF32, DType::kF32, DType::kF32, Strides::kContiguous});
    for (const MergeKernel* row : rows()) run(row, t.args);
  }
}

TEST(Merge, DoorsAnswer) {
  O12 t(DType::kF32, false);
  const MergePartials merge;
  const std::string best = merge.supports(t.args, {}, Device{}).kernel;
  EXPECT_EQ(best.find("merge/native/"), 0u) << best;
  ASSERT_EQ(merge.explain(t.args, {}, Device{}).size(),
            Registry::global().merge_kernels(DeviceType::kNative).size());
  EXPECT_TRUE(std::isnan(t.out.all()[0]));
  EXPECT_EQ(merge.forward(t.args, {}).kernel, best);
  EXPECT_NEAR(t.out.all()[0], 0.296889, 2e-6);
  EXPECT_EQ(merge.forward_native(t.args, {}).kernel, best);
}

}  // namespace
}  // namespace attend::testing
