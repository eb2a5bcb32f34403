#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/attention_params.h"

// The rule of contract 8. With u = unit roundoff of the output dtype, eps = 2^-24 and C = the
// largest |scale| * sum|q||k| + |bias| over visible pairs that weigh anything (a share of 2^-24 of
// their row or more):
//   out      max error <= 2 x baseline max error + 2 u max|gold| + 2 eps C max|v| + least normal
//   number
//            (3 x with a softcap or more than 16k keys, 4 x with an f8 cache, whose gold is from the
//            dequantised values); from 256 elements on also
//            RMS <= 1.5 x baseline RMS + eps C max|v|
//   lse      error <= 4 eps (C + |lse| + 1)
//   weights  as out, with max|v| = 1
//   scores   as out, with max|v| = 1, over visible pairs; at `masked` hidden pairs are -inf
// Gold is float64 from the dtype-rounded inputs; baseline is plain attention with scores and sums
// in f32 that rounds the probabilities to q's dtype and the output to its own. NaN and
// infinite values of gold must stand in the output, and nowhere else. What slot_mapping stores is
// held to its bits (stored.h).
namespace attend::testing {

struct Accuracy {
  std::string what;  // "out", "lse", "weights", "scores" or "stored"
  double max_error = 0,
         allowed_error = 0;  // of the worst element; NaN where a value should or should not be NaN
  double rms_error = 0, allowed_rms = 0;  // 0 where the rule asks for none
  bool ok = true;
  std::string where;  // the worst element: "b 0 h 2 i 17 e 3: is 0.25, gold 0.5"
};

struct JudgeOptions {
  int64_t max_rows =
      0;  // 0 = all rows; else an even sample of the rows (b, h, i), the same in every run
};

// Gold and baseline of one call, to be compared with the outputs of any number of kernels.
class Judge {
 public:
  Judge(const AttentionArgs& args, const AttentionParams& params, const JudgeOptions& options = {});
  ~Judge();
  // Compares whatever outputs are given: out, lse, weights, scores.
  std::vector<Accuracy> compare(const AttentionArgs& args) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Judge(args, params, options).compare(args).
std::vector<Accuracy> judge(const AttentionArgs& args, const AttentionParams& params,
                            const JudgeOptions& options = {});

bool all_ok(const std::vector<Accuracy>& accuracies);
// "out: max error 3.1e-07 of 1.2e-06 allowed, ..." one line for each.
std::string to_string(const std::vector<Accuracy>& accuracies);

}  // namespace attend::testing
