#include "tests/gdn/oracle.h"

#include <cmath>
#include <limits>

#include "tests/support/element.h"

namespace attend::testing {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
using Row = std::vector<double>;

struct Recurrence {
  const GdnArgs& a;
  const GdnParams& p;
  const GdnSizes& z;
  bool ragged = static_cast<bool>(a.cu_seqlens);

  // Element of a tensor with a row for each token.
  double at(const TensorView& t, int64_t b, int64_t i, int64_t x) const {
    return ragged ? load(t, {first(b) + i, x}) : load(t, {b, i, x});
  }
  double at(const TensorView& t, int64_t b, int64_t i, int64_t x, int64_t y) const {
    return ragged ? load(t, {first(b) + i, x, y}) : load(t, {b, i, x, y});
  }
  int64_t first(int64_t b) const { return load_int(a.cu_seqlens, b); }
  int64_t length(int64_t b) const {
    if (ragged) return load_int(a.cu_seqlens, b + 1) - first(b);
    return a.out.dim(1);
  }
  int64_t batch() const { return ragged ? a.cu_seqlens.dim(0) - 1 : a.out.dim(0); }
  int64_t slot(int64_t b) const { return a.state_indices ? load_int(a.state_indices, b) : b; }

  // Input of the convolution at token i of a sequence; before its first token the kept ones.
  double input(int64_t b, int64_t i, int64_t channel) const {
    if (i >= 0) return at(a.mixed_qkv, b, i, channel);
    if (!a.conv_state) return 0;
    return load(a.conv_state, {slot(b), channel, a.conv_weight.dim(1) - 1 + i});
  }
  double convolved(int64_t b, int64_t i, int64_t channel) const {
    const int64_t taps = a.conv_weight.dim(1);
    double y = a.conv_bias ? load(a.conv_bias, {channel}) : 0;
    for (int64_t n = 0; n < taps; ++n)
      y += input(b, i - (taps - 1) + n, channel) * load(a.conv_weight, {channel, n});
    return p.conv_silu ? y / (1 + std::exp(-y)) : y;
  }

  Row row(const TensorView& t, int64_t first_channel, int64_t b, int64_t i, int64_t head,
          int64_t dim) const {
    Row x;
    for (int64_t e = 0; e < dim; ++e)
      x.push_back(a.mixed_qkv ? convolved(b, i, first_channel + head * dim + e)
                              : at(t, b, i, head, e));
    return x;
  }
  void normalise(Row& x) const {
    if (!p.normalize_qk) return;
    double squares = 0;
    for (double e : x) squares += e * e;
    for (double& e : x) e /= std::sqrt(squares) + static_cast<double>(p.l2_eps);
  }

  double log_decay(int64_t b, int64_t i, int64_t h, int64_t c) const {
    if (a.a) {
      const double x = at(a.a, b, i, h) + load(a.dt_bias, {h});
      return -std::exp(load(a.a_log, {h})) * std::log1p(std::exp(x));
    }
    const TensorView& t = a.g ? a.g : a.alpha;
    const double x = t.rank == (ragged ? 3 : 4) ? at(t, b, i, h, c) : at(t, b, i, h);
    return a.g ? x : std::log(x);
  }
  double beta(int64_t b, int64_t i, int64_t h) const {
    return a.b ? 1 / (1 + std::exp(-at(a.b, b, i, h))) : at(a.beta, b, i, h);
  }
};

// Index of [x0, x1, ..] in row-major order.
size_t flat(const TensorView& t, std::initializer_list<int64_t> index) {
  int64_t n = 0;
  int d = 0;
  for (int64_t x : index) n = n * t.dim(d++) + x;
  return static_cast<size_t>(n);
}

}  // namespace

GdnGold gdn_gold(const GdnArgs& a, const GdnParams& p, const GdnSizes& z) {
  const Recurrence r{a, p, z};
  const TensorView& kept = a.final_state ? a.final_state : a.state;
  GdnGold gold;
  gold.out.assign(static_cast<size_t>(a.out.num_elements()), kNothing);
  if (kept) gold.state.assign(static_cast<size_t>(kept.num_elements()), kNothing);
  if (a.conv_state)
    gold.conv_state.assign(static_cast<size_t>(a.conv_state.num_elements()), kNothing);
  const double scale =
      p.softmax_scale ? static_cast<double>(*p.softmax_scale) : 1 / std::sqrt(double(z.k_dim));
  const int64_t key = z.k_heads * z.k_dim, K = z.k_dim, V = z.v_dim;

  for (int64_t b = 0; b < r.batch(); ++b) {
    const int64_t len = r.length(b), slot = r.slot(b);
    const bool padding = a.state_indices && p.padding_slot >= 0 && slot == p.padding_slot;
    for (int64_t h = 0; h < z.heads(); ++h) {
      const auto out = [&](int64_t i, int64_t e) -> double& {
        return gold.out[r.ragged ? flat(a.out, {r.first(b) + i, h, e}) : flat(a.out, {b, i, h, e})];
      };
      if (padding) {
        for (int64_t i = 0; i < len; ++i)
          for (int64_t e = 0; e < V; ++e) out(i, e) = 0;
        continue;
      }
      std::vector<Row> S(static_cast<size_t>(V), Row(static_cast<size_t>(K), 0));
      const auto s = [&](int64_t v, int64_t k) -> double& {
        return S[static_cast<size_t>(v)][static_cast<size_t>(k)];
      };
      if (a.state)
        for (int64_t v = 0; v < V; ++v)
          for (int64_t k = 0; k < K; ++k) s(v, k) = load(a.state, {slot, h, v, k});
      const int64_t hk = h * z.k_heads / z.heads(), hv = h * z.v_heads / z.heads();
      for (int64_t i = 0; i < len; ++i) {
        Row q = r.row(a.q, 0, b, i, hk, K), k = r.row(a.k, key, b, i, hk, K);
        const Row v = r.row(a.v, 2 * key, b, i, hv, V);
        r.normalise(q);
        r.normalise(k);
        const double beta = r.beta(b, i, h);
        Row o, decay;
        for (int64_t c = 0; c < K; ++c) decay.push_back(std::exp(r.log_decay(b, i, h, c)));
        double squares = 0;
        for (int64_t e = 0; e < V; ++e) {
          double seen = 0, read = 0;
          for (int64_t c = 0; c < K; ++c) {
            s(e, c) *= decay[static_cast<size_t>(c)];
            seen += s(e, c) * k[static_cast<size_t>(c)];
          }
          const double d = beta * (v[static_cast<size_t>(e)] - seen);
          for (int64_t c = 0; c < K; ++c) {
            s(e, c) += d * k[static_cast<size_t>(c)];
            read += s(e, c) * q[static_cast<size_t>(c)];
          }
          o.push_back(read * scale);
          squares += o.back() * o.back();
        }
        for (int64_t e = 0; e < V; ++e) {
          out(i, e) = o[static_cast<size_t>(e)];
          if (!a.z) continue;
          const double z_e = r.at(a.z, b, i, h, e);
          out(i, e) *= load(a.norm_weight, {e}) * z_e / (1 + std::exp(-z_e)) /
                       std::sqrt(squares / double(V) + static_cast<double>(p.norm_eps));
        }
      }
      if (kept)
        for (int64_t v = 0; v < V; ++v)
          for (int64_t k = 0; k < K; ++k) gold.state[flat(kept, {slot, h, v, k})] = s(v, k);
    }
    if (a.conv_state && !padding)
      for (int64_t c = 0; c < a.conv_state.dim(1); ++c)
        for (int64_t t = 0, past = a.conv_state.dim(2); t < past; ++t)
          gold.conv_state[flat(a.conv_state, {slot, c, t})] = r.input(b, len - past + t, c);
  }
  return gold;
}

double relative_rms(const TensorView& got, const std::vector<double>& gold) {
  double error = 0, size = 0;
  for (int64_t n = 0; n < got.num_elements(); ++n) {
    const double want = gold[static_cast<size_t>(n)];
    if (std::isnan(want)) continue;
    int64_t rest = n, offset = 0;
    for (int d = got.rank - 1; d >= 0; --d) {
      offset += rest % got.dim(d) * got.step(d);
      rest /= got.dim(d);
    }
    const double is =
        load(got.dtype, static_cast<const char*>(got.data) + offset * size_bytes(got.dtype));
    error += (is - want) * (is - want);
    size += want * want;
  }
  return std::sqrt(size > 0 ? error / size : error);
}

}  // namespace attend::testing
