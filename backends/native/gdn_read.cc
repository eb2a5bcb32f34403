// The rows that a run of gdn needs, as f32: q, k and v from their tensors or out of the causal
// convolution of mixed_qkv, normalised and scaled; decays and betas as given or from their gates.
#include <cmath>

#include "backends/native/convert.h"
#include "backends/native/gdn_call.h"
#include "ops/gdn/rows.h"

namespace attend::native {
namespace {

enum class Part : uint8_t { kQ, kK, kV };

// Where the channels of a part lie in mixed_qkv and in this head's weights.
struct Channels {
  int64_t first, count, stride, weight;
};
Channels channels_of(const GdnHead& h, Part part) {
  const GdnShape& s = h.c.shape;
  const int64_t key = s.k_heads * s.k_dim, k_head = s.k_head(h.head) * s.k_dim;
  switch (part) {
    case Part::kQ: return {k_head, s.k_dim, h.c.k_stride, 0};
    case Part::kK: return {key + k_head, s.k_dim, h.c.k_stride, h.c.k_stride};
    case Part::kV: break;
  }
  return {2 * key + s.v_head(h.head) * s.v_dim, s.v_dim, h.c.v_stride, 2 * h.c.k_stride};
}

int64_t weight_stride(const GdnCall& c) { return 2 * c.k_stride + c.v_stride; }

// Row i of the convolution's input, i tokens after `first - (taps - 1)`: from before this call it
// is in conv_state, or zeros.
void read_inputs(const GdnHead& h, const Channels& at, int64_t first, int64_t n) {
  const GdnArgs& a = h.c.a;
  const int64_t taps = h.c.shape.taps;
  const RowsView mixed = token_rows(a.mixed_qkv, h.c.shape, h.s);
  for (int64_t i = 0; i < n + taps - 1; ++i) {
    const int64_t token = first - (taps - 1) + i;
    float* const row = h.m.raw + i * at.stride;
    std::fill(row + at.count, row + at.stride, 0.0f);
    if (token >= 0) {
      load_row(mixed.at(token, at.first), mixed.head, mixed.dtype, at.count, row);
    } else if (a.conv_state) {
      const TensorView& past = a.conv_state;
      load_row(element(past, h.s.slot * past.stride[0] + at.first * past.stride[1] +
                                 (taps - 1 + token) * past.stride[2]),
               past.stride[1], past.dtype, at.count, row);
    } else {
      std::fill_n(row, at.count, 0.0f);
    }
  }
}

// Calls use(token, row) with the rows of a part, each padded with zeros; they stay until the next
// part.
template <class F>
void for_rows(const GdnHead& h, Part part, int64_t first, int64_t n, float* to, F&& use) {
  const Channels at = channels_of(h, part);
  const GdnArgs& a = h.c.a;
  if (a.mixed_qkv) {
    read_inputs(h, at, first, n);
    const float* const weight = h.m.weight + at.weight;
    const int64_t stride = weight_stride(h.c), taps = h.c.shape.taps;
    for (int64_t i = 0; i < n; ++i) {
      float* const row = part == Part::kV ? to : to + i * at.stride;
      h.c.ops.convolve(h.m.raw + i * at.stride, at.stride, weight, stride,
                       static_cast<int32_t>(taps), weight + taps * stride, h.c.p.conv_silu,
                       static_cast<int32_t>(at.stride), row);
      use(i, row);
    }
    return;
  }
  const RowsView from = token_rows(part == Part::kQ   ? a.q
                                   : part == Part::kK ? a.k
                                                      : a.v,
                                   h.c.shape, h.s);
  const int64_t head = part == Part::kV ? h.c.shape.v_head(h.head) : h.c.shape.k_head(h.head);
  for (int64_t i = 0; i < n; ++i) {
    float* const row = part == Part::kV ? to : to + i * at.stride;
    load_row(from.at(first + i, head), from.dim, from.dtype, at.count, row);
    std::fill(row + at.count, row + at.stride, 0.0f);
    use(i, row);
  }
}

// 1 / (|x| + eps); 0 of zeros. Squares that f32 cannot hold are summed again in f64.
float inverse_length(const GdnOps& ops, const float* x, int64_t n, float eps) {
  double squares = static_cast<double>(ops.sum_squares(x, static_cast<int32_t>(n)));
  if (!(squares > 1e-30 && squares < 1e30)) {
    squares = 0.0;
    for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
  }
  const double length = std::sqrt(squares) + static_cast<double>(eps);
  return length == 0.0 ? 0.0f : static_cast<float>(1.0 / length);
}

void read_qkv(const GdnHead& h, int64_t first, int64_t n) {
  const GdnCall& c = h.c;
  const auto width = static_cast<int32_t>(c.k_stride);
  const auto normalise = [&](float* row, float scale) {
    if (c.p.normalize_qk) scale *= inverse_length(c.ops, row, c.k_stride, c.p.l2_eps);
    if (scale != 1.0f) c.ops.scale(row, scale, width, row);
  };
  for_rows(h, Part::kQ, first, n, h.m.q,
           [&](int64_t, float* row) { normalise(row, *c.p.softmax_scale); });
  for_rows(h, Part::kK, first, n, h.m.k, [&](int64_t, float* row) { normalise(row, 1.0f); });
  for_rows(h, Part::kV, first, n, h.m.row, [&](int64_t i, const float* row) {
    for (int64_t p = 0; p < c.v_panels; ++p)
      std::copy_n(row + p * c.panel, c.panel, h.m.v + (p * c.tokens + i) * c.panel);
  });
}

// Below -1e4 every decay is 0; the bound keeps sums and their differences finite.
double bounded(double g) { return g < -1e4 ? -1e4 : g; }

float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

void read_gates(const GdnHead& h, int64_t first, int64_t n) {
  const GdnArgs& a = h.c.a;
  const auto at = [&](const RowsView& rows, int64_t i) {
    return load(rows.at(first + i, h.head), rows.dtype);
  };
  const auto head_value = [&](const TensorView& t) {
    return static_cast<const float*>(t.data)[h.head * t.stride[0]];
  };
  if (a.a) {
    const RowsView rows = token_rows(a.a, h.c.shape, h.s);
    const float rate = std::exp(head_value(a.a_log)), bias = head_value(a.dt_bias);
    for (int64_t i = 0; i < n; ++i)
      h.m.g[i] = bounded(-static_cast<double>(rate) * softplus(at(rows, i) + bias));
  } else if (!h.c.per_channel) {
    const RowsView rows = token_rows(a.g ? a.g : a.alpha, h.c.shape, h.s);
    for (int64_t i = 0; i < n; ++i) {
      const double x = at(rows, i);
      h.m.g[i] = bounded(a.g ? x : std::log(x));
    }
  }
  const RowsView betas = token_rows(a.b ? a.b : a.beta, h.c.shape, h.s);
  for (int64_t i = 0; i < n; ++i)
    h.m.beta[i] = a.b ? 1.0f / (1.0f + std::exp(-at(betas, i))) : at(betas, i);
}

// decay - 1 of each channel, in the rows of left_q.
void read_channel_decays(const GdnHead& h, int64_t first, int64_t n) {
  const GdnArgs& a = h.c.a;
  const RowsView rows = token_rows(a.g ? a.g : a.alpha, h.c.shape, h.s);
  for (int64_t i = 0; i < n; ++i) {
    float* const row = h.m.left_q + i * h.c.k_stride;
    load_row(rows.at(first + i, h.head), rows.dim, rows.dtype, h.c.shape.k_dim, row);
    std::fill(row + h.c.shape.k_dim, row + h.c.k_stride, 0.0f);
    if (a.g)
      h.c.ops.expm1(row, static_cast<int32_t>(h.c.k_stride));
    else
      for (int64_t c = 0; c < h.c.shape.k_dim; ++c) row[c] -= 1.0f;
  }
}

}  // namespace

void read_head(const GdnHead& h) {
  const GdnArgs& a = h.c.a;
  const auto column = [](const TensorView& t, int64_t first, int64_t count, int64_t offset,
                         float* to) {
    load_row(element(t, first * t.stride[0] + offset), t.stride[0], t.dtype, count, to);
  };
  if (a.norm_weight) {
    std::fill_n(h.m.norm, h.c.v_stride, 0.0f);
    column(a.norm_weight, 0, h.c.shape.v_dim, 0, h.m.norm);
  }
  if (!a.mixed_qkv) return;
  const int64_t taps = h.c.shape.taps, stride = weight_stride(h.c);
  std::fill_n(h.m.weight, (taps + 1) * stride, 0.0f);
  for (Part part : {Part::kQ, Part::kK, Part::kV}) {
    const Channels at = channels_of(h, part);
    float* const to = h.m.weight + at.weight;
    for (int64_t t = 0; t < taps; ++t)
      column(a.conv_weight, at.first, at.count, t * a.conv_weight.stride[1], to + t * stride);
    if (a.conv_bias) column(a.conv_bias, at.first, at.count, 0, to + taps * stride);
  }
}

void read_tokens(const GdnHead& h, int64_t first, int64_t n) {
  read_qkv(h, first, n);
  read_gates(h, first, n);
  if (h.c.per_channel) read_channel_decays(h, first, n);
}

}  // namespace attend::native
