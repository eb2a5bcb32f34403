#include "tests/support/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/element.h"
#include "tests/support/oracle_keys.h"
#include "tests/support/philox.h"

namespace attend::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Of row or key x of sequence b, in [batch, seqlen] or [total].
int64_t segment_id(const TensorView& ids, const TensorView& cu_seqlens, int64_t b, int64_t x) {
  if (ids.rank == 2) return static_cast<int64_t>(load(ids, {b, x}));
  return load_int(ids, load_int(cu_seqlens, b) + x);
}

}  // namespace

Oracle::Oracle(const AttentionArgs& args, const AttentionParams& params)
    : args_(args), params_(params) {
  batch_ = ragged_q() ? args_.seq.cu_seqlens_q.dim(0) - 1 : args_.q.dim(0);
  if (!params_.bias && !params_.mask.keep && params_.init_bias.make) {
    params_.bias = params_.init_bias.make(params_.init_bias.user);
  }
  use_keep_ =
      params_.mask.keep && !(params_.bias && params_.mask_with_bias == MaskWithBias::kBiasOnly);
}

int64_t Oracle::seqlen_q(int64_t b) const { return rows_in_use(args_, b); }
int64_t Oracle::seqlen_k(int64_t b) const { return keys_in_use(args_, b); }

int64_t Oracle::shift(int64_t b) const {
  if (params_.mask.q_start) return load_int(params_.mask.q_start, b);
  return params_.mask.diagonal == Diagonal::kTopLeft ? 0 : seqlen_k(b) - seqlen_q(b);
}

double Oracle::softmax_scale() const {
  return params_.softmax_scale ? *params_.softmax_scale
                               : 1 / std::sqrt(static_cast<double>(head_dim()));
}

// Section 3 of the contract, word by word.
bool Oracle::sees(int64_t b, int64_t h, int64_t i, int64_t j) const {
  const MaskSpec& m = params_.mask;
  const int64_t p = i + shift(b);
  if (j >= seqlen_k(b)) return false;
  if (args_.seq.start && j < load_int(args_.seq.start, b)) return false;
  if (m.causal || m.block_size > 0) {
    const int64_t origin = m.block_origin ? load_int(m.block_origin, b) : 0;
    auto block = [&](int64_t x) { return x < origin ? -1 : floor_div(x - origin, m.block_size); };
    if (m.prefix_lens && p < load_int(m.prefix_lens, b)) {
      if (j >= load_int(m.prefix_lens, b)) return false;
    } else if (m.causal ? j > p : block(j) > block(p)) {
      return false;
    }
  }
  if (m.hole_starts && load_int(m.hole_starts, b) <= j && j < load_int(m.hole_ends, b))
    return false;
  if (m.window_left >= 0 && j < p - m.window_left) return false;
  if (m.window_right >= 0 && j > p + m.window_right) return false;
  if (m.q_segment_ids) {
    const int64_t q_id = segment_id(m.q_segment_ids, args_.seq.cu_seqlens_q, b, i);
    const int64_t k_id = segment_id(m.kv_segment_ids, args_.seq.cu_seqlens_k, b, j);
    if (q_id < 0 || q_id != k_id) return false;
  }
  if (m.block_mask &&
      load_broadcast(m.block_mask, b, h, i / m.block_mask_q, j / m.block_mask_k) == 0)
    return false;
  return !use_keep_ || load_broadcast(m.keep, b, h, i, j) != 0;
}

bool Oracle::bias_hides(int64_t b, int64_t h, int64_t i, int64_t j) const {
  return params_.bias && load_broadcast(params_.bias, b, h, i, j) == -kInf;
}

double Oracle::dropout_factor(int64_t b, int64_t h, int64_t i, int64_t j) const {
  const double p = params_.dropout_p;
  if (p == 0 || params_.deterministic) return 1;
  const uint64_t seed = params_.dropout_seed.value();
  const auto word = philox4x32(
      {static_cast<uint32_t>(j / 4), static_cast<uint32_t>(i),
       static_cast<uint32_t>(b * heads() + h), static_cast<uint32_t>(params_.dropout_offset)},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)})[static_cast<size_t>(j % 4)];
  return word >= std::floor(p * 4294967296.0) ? 1 / (1 - p) : 0;
}

std::vector<double> Oracle::query(int64_t b, int64_t h, int64_t i) const {
  std::vector<double> q(static_cast<size_t>(head_dim()));
  for (size_t e = 0; e < q.size(); ++e) {
    q[e] = load(args_.q.dtype,
                row_address(args_.q, args_.seq.cu_seqlens_q, b, i, h, static_cast<int64_t>(e)));
  }
  return q;
}

const OracleKeys& Oracle::keys(int64_t b, int64_t h) const {
  const int64_t kv_head = h / (heads() / kv_heads());
  if (keys_.b == b && keys_.kv_head == kv_head) return keys_;
  keys_ = {b, kv_head, {}, {}};
  for (int64_t j = 0; j < seqlen_k(b); ++j) {
    for (int64_t e = 0; e < head_dim(); ++e)
      keys_.k.push_back(key_element(args_, b, j, kv_head, e).value());
    for (int64_t e = 0; e < v_dim(); ++e)
      keys_.v.push_back(value_element(args_, b, j, kv_head, e).value());
  }
  return keys_;
}

std::vector<double> Oracle::sinks(int64_t h) const {
  std::vector<double> sinks;
  const TensorView& s = params_.sinks;
  if (s.rank == 1) sinks.push_back(load(s, {h}));
  for (int64_t n = 0; s.rank == 2 && n < s.dim(1); ++n) sinks.push_back(load(s, {h, n}));
  return sinks;
}

// Section 2 of the contract, step by step.
OracleRow Oracle::row(int64_t b, int64_t h, int64_t i) const {
  const OracleKeys& kv = keys(b, h);
  const std::vector<double> q = query(b, h, i);
  const TensorView& slopes = params_.alibi_slopes;
  const auto n = static_cast<size_t>(seqlen_k(b));
  const auto dim = static_cast<size_t>(head_dim());
  const auto dim_v = static_cast<size_t>(v_dim());
  OracleRow r;
  r.out.assign(dim_v, 0);

  double top = -kInf;  // the largest logit, so that exp() cannot overflow
  for (size_t t = 0; t < n; ++t) {
    const auto j = static_cast<int64_t>(t);
    double dot = 0, sum = 0;
    for (size_t e = 0; e < dim; ++e) {
      dot += q[e] * kv.k[t * dim + e];
      sum += std::abs(q[e] * kv.k[t * dim + e]);
    }
    r.scaled.push_back(dot * softmax_scale());
    r.capped.push_back(params_.softcap > 0
                           ? params_.softcap * std::tanh(r.scaled[t] / params_.softcap)
                           : r.scaled[t]);
    r.bias.push_back(params_.bias ? load_broadcast(params_.bias, b, h, i, j) : 0);
    const double slope = !slopes ? 0 : slopes.rank == 1 ? load(slopes, {h}) : load(slopes, {b, h});
    r.alibi.push_back(slope * static_cast<double>(std::abs(i + shift(b) - j)));
    r.magnitude.push_back(sum * std::abs(softmax_scale()) + std::abs(r.bias[t]) +
                          std::abs(r.alibi[t]));
    r.visible.push_back(sees(b, h, i, j) && r.bias[t] != -kInf);
    r.masked.push_back(r.visible[t] ? r.capped[t] + r.bias[t] - r.alibi[t] : -kInf);
    top = std::max(top, r.masked[t]);
    r.kept.push_back(dropout_factor(b, h, i, j));
  }
  for (double sink : sinks(h)) top = std::max(top, sink);

  double total = 0;
  const auto weigh = [&](double logit) { return logit == -kInf ? 0 : std::exp(logit - top); };
  for (size_t t = 0; t < n; ++t) total += weigh(r.masked[t]);
  for (double sink : sinks(h)) total += weigh(sink);
  r.lse = total == 0 ? -kInf : top + std::log(total);

  for (size_t t = 0; t < n; ++t) {
    r.softmax.push_back(r.visible[t] && total != 0 ? weigh(r.masked[t]) / total : 0);
    r.weights.push_back(r.softmax[t] * r.kept[t]);
    for (size_t e = 0; e < dim_v && r.visible[t]; ++e)
      r.out[e] += r.weights[t] * kv.v[t * dim_v + e];
  }
  return r;
}

void* Oracle::out_at(const TensorView& out, int64_t b, int64_t i, int64_t h, int64_t e) const {
  return row_address(out, args_.seq.cu_seqlens_q, b, i, h, e);
}

void* Oracle::lse_at(const TensorView& lse, int64_t b, int64_t h, int64_t i) const {
  if (ragged_q()) return address_of(lse, {h, load_int(args_.seq.cu_seqlens_q, b) + i});
  return address_of(lse, {b, h, i});
}

}  // namespace attend::testing
