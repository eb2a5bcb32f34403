#include "tests/support/judge.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "tests/support/element.h"
#include "tests/support/oracle.h"
#include "tests/support/stored.h"

namespace attend::testing {
namespace {

constexpr double kEps = 0x1p-24;
constexpr double kInf = std::numeric_limits<double>::infinity();

struct BaselineRow {
  std::vector<float> scaled, capped, masked, weights;
  std::vector<float> out;
};

std::vector<float> as_float(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// Plain attention, scores and sums in f32; the probabilities are rounded to dtype.
BaselineRow baseline_row(const Oracle& oracle, const OracleRow& gold, const AttentionParams& params,
                         DType dtype, const std::vector<float>& q, const std::vector<float>& k,
                         const std::vector<float>& v, const std::vector<float>& sinks) {
  const auto scale = static_cast<float>(oracle.softmax_scale());
  const size_t n = gold.visible.size(), dim = q.size(), dim_v = gold.out.size();
  BaselineRow r;
  r.out.assign(dim_v, 0);
  float top = -std::numeric_limits<float>::infinity();
  for (size_t j = 0; j < n; ++j) {
    float dot = 0;
    for (size_t e = 0; e < dim; ++e) dot += q[e] * k[j * dim + e];
    r.scaled.push_back(dot * scale);
    r.capped.push_back(params.softcap > 0 ? params.softcap * std::tanh(r.scaled[j] / params.softcap)
                                          : r.scaled[j]);
    const float score =
        r.capped[j] + static_cast<float>(gold.bias[j]) - static_cast<float>(gold.alibi[j]);
    r.masked.push_back(gold.visible[j] ? score : -std::numeric_limits<float>::infinity());
    top = std::max(top, r.masked[j]);
  }
  for (float sink : sinks) top = std::max(top, sink);
  float total = 0;
  for (float sink : sinks) total += std::exp(sink - top);
  for (size_t j = 0; j < n; ++j) total += gold.visible[j] ? std::exp(r.masked[j] - top) : 0;
  for (size_t j = 0; j < n; ++j) {
    const float share = gold.visible[j] ? std::exp(r.masked[j] - top) / total : 0;
    r.weights.push_back(
        static_cast<float>(round_to(dtype, share * static_cast<float>(gold.kept[j]))));
    for (size_t e = 0; e < dim_v && gold.visible[j]; ++e)
      r.out[e] += r.weights[j] * v[j * dim_v + e];
  }
  return r;
}

// Gold against baseline, or gold against what a kernel wrote, over the elements of one output.
struct Errors {
  double max_error = 0, squares = 0;
  int64_t count = 0;
  std::string where;

  // True if this is the worst element so far.
  bool add(double value, double gold) {
    double error = std::abs(value - gold);  // NaN if either is NaN, or both are the same infinity
    if (!std::isfinite(gold)) {
      const bool same = std::isnan(gold) ? std::isnan(value) : value == gold;
      error = same ? 0 : std::numeric_limits<double>::quiet_NaN();
    } else {
      ++count;
      squares += error * error;
    }
    if (std::isnan(max_error) || error <= max_error) return false;  // NaN is worse than any number
    max_error = error;
    return true;
  }
  double rms() const { return count ? std::sqrt(squares / static_cast<double>(count)) : 0; }
};

// One output of one row, kept for comparisons: values by gold and by the baseline.
struct Expected {
  std::vector<double> gold, baseline;
};

}  // namespace

struct Judge::State {
  struct Row {
    int64_t b, h, i;
    std::vector<bool> visible;
    Expected out, weights, scores;
    double lse;
  };

  State(const AttentionArgs& args, const AttentionParams& p) : oracle(args, p), params(p) {}

  Oracle oracle;
  AttentionParams params;
  std::vector<Row> rows;
  double c = 0;      // contract 8's C
  double max_v = 0;  // over keys that weigh anything
  bool many_keys = false, f8_cache = false;

  // The rule's bounds for one output.
  struct Rule {
    DType dtype;
    double max_v;
    Errors baseline;
    double max_gold = 0;

    void add(const Expected& expected, size_t t) {
      const double gold = expected.gold[t];
      if (!std::isfinite(gold)) return;
      max_gold = std::max(max_gold, std::abs(gold));
      const double rounded = round_to(dtype, expected.baseline[t]);
      if (std::isfinite(rounded)) baseline.add(rounded, gold);
    }
  };

  Accuracy verdict(const char* what, const Rule& rule, const Errors& errors) const {
    const double factor = f8_cache ? 4 : params.softcap > 0 || many_keys ? 3 : 2;
    Accuracy a;
    a.what = what;
    a.where = errors.where;
    a.max_error = errors.max_error;
    a.allowed_error = factor * rule.baseline.max_error +
                      2 * unit_roundoff(rule.dtype) * rule.max_gold + 2 * kEps * c * rule.max_v +
                      least_normal(rule.dtype);
    a.ok = a.max_error <= a.allowed_error;
    if (errors.count >= 256) {
      a.rms_error = errors.rms();
      a.allowed_rms = 1.5 * rule.baseline.rms() + kEps * c * rule.max_v;
      a.ok = a.ok && a.rms_error <= a.allowed_rms;
    }
    return a;
  }
};

namespace {

std::string describe(int64_t b, int64_t h, int64_t i, const char* last, size_t t, double value,
                     double gold) {
  char text[160];
  std::snprintf(text, sizeof text, "b %ld h %ld i %ld %s %zu: is %.9g, gold %.9g", b, h, i, last, t,
                value, gold);
  return text;
}

// A finite value that the dtype cannot hold is expected as the infinity that it rounds to.
double reachable(DType dtype, double gold) {
  const double rounded = round_to(dtype, gold);
  return std::isfinite(gold) && std::isinf(rounded) ? rounded : gold;
}

}  // namespace

Judge::Judge(const AttentionArgs& args, const AttentionParams& params, const JudgeOptions& options)
    : state_(std::make_unique<State>(args, params)) {
  State& s = *state_;
  const Oracle& oracle = s.oracle;
  s.f8_cache = is_f8(args.k.dtype) || is_f8(args.v.dtype);
  int64_t total = 0;
  for (int64_t b = 0; b < oracle.batch(); ++b) total += oracle.heads() * oracle.seqlen_q(b);
  const int64_t wanted = options.max_rows > 0 ? std::min(options.max_rows, total) : total;

  int64_t seen = 0, taken = 0, keys_b = -1, keys_head = -1;
  std::vector<float> k, v;
  for (int64_t b = 0; b < oracle.batch(); ++b) {
    s.many_keys = s.many_keys || oracle.seqlen_k(b) > 16384;
    for (int64_t h = 0; h < oracle.heads(); ++h) {
      for (int64_t i = 0; i < oracle.seqlen_q(b); ++i, ++seen) {
        // Row number t of the sample is row floor((t + 1/2) * total / wanted) of all.
        if (taken == wanted || seen < ((2 * taken + 1) * total) / (2 * wanted)) continue;
        ++taken;
        OracleRow gold = oracle.row(b, h, i);
        const OracleKeys& keys = oracle.keys(b, h);
        if (keys.b != keys_b || keys.kv_head != keys_head) {
          k = as_float(keys.k);
          v = as_float(keys.v);
          keys_b = keys.b;
          keys_head = keys.kv_head;
        }
        BaselineRow base =
            baseline_row(oracle, gold, params, args.q.dtype, as_float(oracle.query(b, h, i)), k, v,
                         as_float(oracle.sinks(h)));
        const auto dim_v = static_cast<size_t>(oracle.v_dim());
        for (size_t j = 0; j < gold.visible.size(); ++j) {
          if (!gold.visible[j] || !(gold.softmax[j] >= kEps)) continue;
          s.c = std::max(s.c, gold.magnitude[j]);
          for (size_t e = 0; e < dim_v; ++e) {
            const double value = std::abs(keys.v[j * dim_v + e]);
            if (std::isfinite(value)) s.max_v = std::max(s.max_v, value);
          }
        }
        State::Row row = {b, h, i, gold.visible, {}, {}, {}, gold.lse};
        row.out = {std::move(gold.out), {base.out.begin(), base.out.end()}};
        if (args.weights)
          row.weights = {std::move(gold.weights), {base.weights.begin(), base.weights.end()}};
        if (args.scores) {
          const ScoresStage stage = params.scores_stage;
          auto& from = stage == ScoresStage::kScaled   ? gold.scaled
                       : stage == ScoresStage::kCapped ? gold.capped
                                                       : gold.masked;
          auto& base_from = stage == ScoresStage::kScaled   ? base.scaled
                            : stage == ScoresStage::kCapped ? base.capped
                                                            : base.masked;
          row.scores = {std::move(from), {base_from.begin(), base_from.end()}};
        }
        s.rows.push_back(std::move(row));
      }
    }
  }
}

Judge::~Judge() = default;

std::vector<Accuracy> Judge::compare(const AttentionArgs& args) const {
  const State& s = *state_;
  std::vector<Accuracy> verdicts;

  State::Rule rule = {args.out.dtype, s.max_v, {}};
  Errors errors;
  for (const State::Row& row : s.rows) {
    for (size_t e = 0; e < row.out.gold.size(); ++e) {
      rule.add(row.out, e);
      const double gold = reachable(args.out.dtype, row.out.gold[e]);
      const double value = load(
          args.out.dtype, s.oracle.out_at(args.out, row.b, row.i, row.h, static_cast<int64_t>(e)));
      if (errors.add(value, gold))
        errors.where = describe(row.b, row.h, row.i, "e", e, value, gold);
    }
  }
  verdicts.push_back(s.verdict("out", rule, errors));

  if (args.lse) {
    Accuracy a;
    a.what = "lse";
    double worst_share = 0;  // of its own allowance
    for (const State::Row& row : s.rows) {
      const double value = load(args.lse.dtype, s.oracle.lse_at(args.lse, row.b, row.h, row.i));
      Errors one;
      one.add(value, row.lse);
      const double allowed = std::isfinite(row.lse) ? 4 * kEps * (s.c + std::abs(row.lse) + 1) : 0;
      a.ok = a.ok && one.max_error <= allowed;
      const double share = one.max_error == 0 ? 0 : one.max_error / allowed;
      if (std::isnan(worst_share) || share < worst_share) continue;
      worst_share = share;
      a.max_error = one.max_error;
      a.allowed_error = allowed;
      a.where = describe(row.b, row.h, row.i, "lse", 0, value, row.lse);
    }
    verdicts.push_back(a);
  }

  // Weights and scores: columns beyond the keys in use count as hidden.
  const auto compare_columns = [&](const char* what, const TensorView& view,
                                   Expected State::Row::*expected, bool visible_only,
                                   double hidden) {
    State::Rule columns_rule = {view.dtype, 1, {}};
    Errors columns;
    for (const State::Row& row : s.rows) {
      const Expected& x = row.*expected;
      for (size_t j = 0; j < static_cast<size_t>(view.dim(3)); ++j) {
        const bool visible = j < row.visible.size() && row.visible[j];
        if (visible_only && !visible) continue;
        if (visible) columns_rule.add(x, j);
        const double gold = visible ? reachable(view.dtype, x.gold[j]) : hidden;
        const double value = load(view, {row.b, row.h, row.i, static_cast<int64_t>(j)});
        if (columns.add(value, gold))
          columns.where = describe(row.b, row.h, row.i, "j", j, value, gold);
      }
    }
    verdicts.push_back(s.verdict(what, columns_rule, columns));
  };
  if (args.weights) compare_columns("weights", args.weights, &State::Row::weights, false, 0);
  if (args.scores) {
    compare_columns("scores", args.scores, &State::Row::scores,
                    s.params.scores_stage != ScoresStage::kMasked, -kInf);
  }
  if (args.seq.slot_mapping) {
    Accuracy stored;
    stored.what = "stored";
    stored.where = wrong_slot(args);
    stored.ok = stored.where.empty();
    verdicts.push_back(stored);
  }
  return verdicts;
}

std::vector<Accuracy> judge(const AttentionArgs& args, const AttentionParams& params,
                            const JudgeOptions& options) {
  return Judge(args, params, options).compare(args);
}

bool all_ok(const std::vector<Accuracy>& accuracies) {
  return std::all_of(accuracies.begin(), accuracies.end(), [](const Accuracy& a) { return a.ok; });
}

std::string to_string(const std::vector<Accuracy>& accuracies) {
  std::string text;
  for (const Accuracy& a : accuracies) {
    char line[400];
    std::snprintf(line, sizeof line,
                  "%s%s: max error %.3g, allowed %.3g; rms %.3g, allowed %.3g; %s\n",
                  a.ok ? "" : "WRONG ", a.what.c_str(), a.max_error, a.allowed_error, a.rms_error,
                  a.allowed_rms, a.where.c_str());
    text += line;
  }
  return text;
}

}  // namespace attend::testing
