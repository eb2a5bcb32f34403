#include "tools/attend/distance.h"

#include <algorithm>
#include <cmath>

#include "tests/support/element.h"
#include "tests/support/oracle.h"
#include "tools/attend/convert.h"
#include "tools/attend/text.h"

namespace attend::cli {

double distance(const TensorView& out, const TensorView& expected) {
  double most = 0;
  for (int64_t n = 0; n < out.num_elements(); ++n) {
    const double x =
        value_at(out.dtype, static_cast<const char*>(out.data) + n * size_bytes(out.dtype));
    const double y = value_at(
        expected.dtype, static_cast<const char*>(expected.data) + n * size_bytes(expected.dtype));
    const double error = x == y || (std::isnan(x) && std::isnan(y)) ? 0 : std::abs(x - y);
    if (std::isnan(error)) return error;
    most = std::max(most, error);
  }
  return most;
}

double largest(const TensorView& t) {
  const Summary s = summarise(t);
  return std::max(std::abs(s.least), std::abs(s.most));
}

double oracle_distance(const Call& call, const AttentionParams& params) {
  const testing::Oracle oracle(call.args, params);
  double most = 0;
  for (int64_t b = 0; b < oracle.batch(); ++b)
    for (int64_t h = 0; h < oracle.heads(); ++h)
      for (int64_t i = 0; i < oracle.seqlen_q(b); ++i) {
        const testing::OracleRow row = oracle.row(b, h, i);
        for (size_t e = 0; e < row.out.size(); ++e) {
          const double y = testing::load(
              call.expected.dtype, oracle.out_at(call.expected, b, i, h, static_cast<int64_t>(e)));
          most = std::max(most, std::abs(row.out[e] - y));
        }
      }
  return most;
}

}  // namespace attend::cli
