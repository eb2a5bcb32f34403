// gdn, merge and append against the oracles of their tests.
#include <algorithm>
#include <cmath>
#include <memory>

#include "attend/error.h"
#include "attend/operator.h"
#include "tests/gdn/tensors.h"
#include "tests/merge/partials.h"
#include "tests/support/stored.h"
#include "tools/attend/check_rows.h"

namespace attend::cli {
namespace {

// Calls run() and counts what it throws; whether the row took the case.
template <class F>
bool ran(RowTally& tally, const std::string& the_case, const F& run) {
  try {
    run();
    return true;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kUnsupported)
      ++tally.refused;
    else
      tally.add(the_case, std::nan(""), e.what());
  }
  return false;
}

template <class F>
void each_available(std::vector<RowTally>& tallies, const F& f) {
  for (RowTally& tally : tallies)
    if (tally.unavailable.empty()) f(tally);
}

// Two parts of one shape, joined.
struct MergeCase {
  std::vector<int64_t> shape;  // [batch, seqlen_q, heads, dim] or [total_q, heads, dim]
  DType a, b, out;
  testing::Strides strides;

  std::string name() const {
    std::string text = "merge";
    for (int64_t n : shape) text += "_" + std::to_string(n);
    for (DType t : {a, b, out}) text += std::string("_") + attend::name(t);
    return text + (strides == testing::Strides::kContiguous ? "" : "_heads_first");
  }
};

std::vector<MergeCase> merge_cases() {
  std::vector<MergeCase> list;
  for (const auto& shape :
       {std::vector<int64_t>{2, 5, 3, 17}, {1, 1, 8, 128}, {7, 4, 64}, {3, 0, 2, 8}})
    for (DType a : {DType::kF32, DType::kF16, DType::kBF16})
      for (DType out : {DType::kF32, DType::kF16, DType::kBF16})
        for (testing::Strides s : {testing::Strides::kContiguous, testing::Strides::kHeadsFirst})
          list.push_back({shape, a, a == out ? DType::kF32 : out, out, s});
  return list;
}

struct MergeTensors {
  testing::Placed out_a, out_b, out, lse_a, lse_b, lse;
  MergeArgs args;

  explicit MergeTensors(const MergeCase& c) {
    const auto rank = static_cast<int>(c.shape.size());
    std::vector<int64_t> sums(c.shape.begin(), c.shape.end() - 1);
    std::swap(sums[sums.size() - 1], sums[sums.size() - 2]);
    const auto rows = [&](DType dtype) {
      return testing::Placed(dtype, c.shape, c.strides, rank - 3, rank - 2);
    };
    const auto lse_of = [&] {
      return testing::Placed(DType::kF32, sums, c.strides, rank - 2, rank - 3);
    };
    out_a = rows(c.a), out_b = rows(c.b), out = rows(c.out);
    lse_a = lse_of(), lse_b = lse_of(), lse = lse_of();
    out_a.fill(1), out_b.fill(2), lse_a.fill(3, 4.0), lse_b.fill(4, 4.0);
    args = {out_a.view, lse_a.view, out_b.view, lse_b.view, out.view, lse.view};
  }

  // The largest share of what rounding allows: the factors' error is some eps, the output's its
  // dtype's. NaN if an element is not written.
  double share() const {
    constexpr double kEps = 0x1p-24;
    double worst = 0;
    const auto take = [&](double error, double allowed) {
      if (!(error / allowed <= worst)) worst = error / allowed;
    };
    const auto a = out_a.all(), b = out_b.all(), la = lse_a.all(), lb = lse_b.all(),
               got = out.all(), got_lse = lse.all();
    const int64_t heads = args.out.dim(-2), seqlen = args.out.dim(-3), dim = args.out.dim(-1);
    for (size_t n = 0; n < got.size(); ++n) {
      const int64_t row = static_cast<int64_t>(n) / dim;  // lse is [.., heads, seqlen]
      const auto sum = static_cast<size_t>(row / (seqlen * heads) * seqlen * heads +
                                           row % heads * seqlen + row / heads % seqlen);
      const testing::Joined j = testing::join(la[sum], lb[sum]);
      const double gold = j.factor_a * a[n] + j.factor_b * b[n];
      take(std::abs(got[n] - gold), testing::unit_roundoff(args.out.dtype) * std::abs(gold) +
                                        8 * kEps * (std::abs(a[n]) + std::abs(b[n])) +
                                        testing::least_normal(args.out.dtype));
    }
    for (size_t n = 0; n < got_lse.size(); ++n) {
      const double gold = testing::join(la[n], lb[n]).lse;
      take(std::abs(got_lse[n] - gold), 4 * kEps * (std::abs(gold) + 1));
    }
    return worst;
  }
};

// Rows for slots of pages, some of which are not kept.
struct AppendTensors {
  std::vector<int64_t> slots = {9, -1, 0, 14, 3, -7, 8};
  testing::Placed k, v, k_new, v_new;
  float k_descale = 0.37f, v_descale = 0.011f;
  AttentionArgs args;

  AppendTensors(DType rows, DType cache, testing::Strides strides) {
    const auto tokens = static_cast<int64_t>(slots.size());
    k = testing::Placed(cache, {5, 3, 2, 24}, strides, 1, 2);
    v = testing::Placed(cache, {5, 3, 2, 7}, strides, 1, 2);
    k_new = testing::Placed(rows, {tokens, 2, 24}, strides, 0, 1);
    v_new = testing::Placed(rows, {tokens, 2, 7}, strides, 0, 1);
    k.fill(1), v.fill(2), k_new.fill(3), v_new.fill(4);
    args.k = k.view, args.v = v.view, args.k_new = k_new.view, args.v_new = v_new.view;
    args.seq.slot_mapping = contiguous(slots.data(), DType::kI64, {tokens});
    if (size_bytes(cache) > 1) return;
    args.k_descale = contiguous(&k_descale, DType::kF32, {1});
    args.v_descale = contiguous(&v_descale, DType::kF32, {1});
  }
};

}  // namespace

void check_gdn(std::vector<RowTally>& tallies, const RowCheck& options) {
  for (const testing::GdnCase& c : testing::gdn_pairs()) {
    const std::string the_case = testing::name(c);
    if (!options.wants(the_case)) continue;
    options.step("gdn on " + the_case);
    testing::GdnTensors t(c);
    const testing::GdnGold gold = t.gold();
    const testing::GdnAllowed allowed = testing::gdn_allowed(c.dtype);
    each_available(tallies, [&](RowTally& tally) {
      t.reset();
      if (!ran(tally, the_case, [&] { run_tallied(tally, GatedDeltaNet(), t.args, t.params); }))
        return;
      double share = testing::relative_rms(t.args.out, gold.out) / allowed.out;
      const auto take = [&](double other) {
        if (!(other <= share)) share = other;
      };
      if (t.kept_state()) take(testing::relative_rms(t.kept_state(), gold.state) / allowed.state);
      std::string fault = t.damage(gold);
      if (t.args.conv_state && testing::relative_rms(t.args.conv_state, gold.conv_state) != 0)
        fault = "conv_state differs from the last inputs";
      if (fault.empty() && !(share <= 1))
        fault = "relative RMS is " + std::to_string(share) + " of what is allowed";
      tally.add(the_case, share, fault);
    });
  }
}

void check_merge(std::vector<RowTally>& tallies, const RowCheck& options) {
  for (const MergeCase& c : merge_cases()) {
    if (!options.wants(c.name())) continue;
    options.step(c.name());
    each_available(tallies, [&](RowTally& tally) {
      const MergeTensors t(c);
      if (!ran(tally, c.name(),
               [&] { run_tallied(tally, MergePartials(), t.args, MergeParams{}); }))
        return;
      const double share = t.share();
      std::string fault;
      if (!(share <= 1)) fault = "error is " + std::to_string(share) + " of what is allowed";
      if (!t.out.gaps_untouched() || !t.lse.gaps_untouched())
        fault = "a byte changed outside of out and lse";
      tally.add(c.name(), share, fault);
    });
  }
}

void check_append(std::vector<RowTally>& tallies, const RowCheck& options) {
  for (DType rows : {DType::kF32, DType::kF16, DType::kBF16})
    for (DType cache :
         {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI8})
      for (testing::Strides strides : {testing::Strides::kContiguous, testing::Strides::kHeadsFirst,
                                       testing::Strides::kLastStep2}) {
        const std::string the_case = std::string("append_") + name(rows) + "_k" + name(cache) +
                                     "_strides" + std::to_string(static_cast<int>(strides));
        if (!options.wants(the_case)) continue;
        options.step(the_case);
        each_available(tallies, [&](RowTally& tally) {
          const AppendTensors t(rows, cache, strides);
          if (!ran(tally, the_case,
                   [&] { run_tallied(tally, AppendKv(), t.args, AttentionParams{}); }))
            return;
          std::string fault = testing::wrong_slot(t.args);
          if (fault.empty() && !(t.k.gaps_untouched() && t.v.gaps_untouched()))
            fault = "a byte changed between the elements of the pages";
          tally.add(the_case, fault.empty() ? 0 : std::nan(""), fault);
        });
      }
}

}  // namespace attend::cli
