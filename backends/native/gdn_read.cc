// The rows that a run of gdn needs, as f32: q, k and v from their tensors or out of the causal
// convolution of mixed_qkv, normalised and scaled; decays and betas as given or from their gates.
#include <cmath>

#include "backends/native/convert.h"
#include "backends/native/elem.h"
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

// Rows of a part to rows to(token), the parts of each panel `group` apart, times `factor`.
template <class F>
void read_rows(const GdnHead& h, Part part, int64_t first, int64_t n, float factor, int64_t group,
               F&& to) {
  const Channels at = channels_of(h, part);
  const GdnArgs& a = h.c.a;
  const auto count = static_cast<int32_t>(at.count),
             width = static_cast<int32_t>(part == Part::kV ? h.c.v_panels * h.c.panel : at.stride);
  if (a.mixed_qkv) {
    read_inputs(h, at, first, n);
    const float* const weight = h.m.weight + at.weight;
    const int64_t stride = weight_stride(h.c), taps = h.c.shape.taps;
    for (int64_t i = 0; i < n; ++i) {
      h.c.ops.convolve(h.m.raw + i * at.stride, at.stride, weight, stride,
                       static_cast<int32_t>(taps), weight + taps * stride, h.c.p.conv_silu,
                       static_cast<int32_t>(at.stride), h.m.row);
      h.c.ops.load_row(h.m.row, 1, Elem::kF32, factor, count, width, to(i), group);
    }
    return;
  }
  const RowsView from = token_rows(part == Part::kQ   ? a.q
                                   : part == Part::kK ? a.k
                                                      : a.v,
                                   h.c.shape, h.s);
  const int64_t head = part == Part::kV ? h.c.shape.v_head(h.head) : h.c.shape.k_head(h.head);
  for (int64_t i = 0; i < n; ++i)
    h.c.ops.load_row(from.at(first + i, head), from.dim, elem_of(from.dtype), factor, count, width,
                     to(i), group);
}

// Asks for rows [first, first + n) of a head, which lie apart from the last run's where tokens have
// several heads.
void ask_rows(const RowsView& rows, int64_t head, int64_t dim, int64_t first, int64_t n) {
  if (rows.dim != 1) return;
  for (int64_t i = first; i < first + n; ++i)
    for (int64_t byte = 0; byte < dim * size_bytes(rows.dtype); byte += 64)
      __builtin_prefetch(rows.at(i, head) + byte, 0, 2);
}

// While tokens [first, first + n) are worked on, their rows of out come into a cache, and the rows
// of the run behind them.
void ask_ahead(const GdnHead& h, int64_t first, int64_t n) {
  const GdnArgs& a = h.c.a;
  const GdnShape& s = h.c.shape;
  const int64_t next = first + n, many = std::min(h.c.tokens, h.s.len - next);
  if (n == 1) return;
  ask_rows(token_rows(a.out, s, h.s), h.head, s.v_dim, first, n);
  if (a.mixed_qkv) return;
  ask_rows(token_rows(a.q, s, h.s), s.k_head(h.head), s.k_dim, next, many);
  ask_rows(token_rows(a.k, s, h.s), s.k_head(h.head), s.k_dim, next, many);
  ask_rows(token_rows(a.v, s, h.s), s.v_head(h.head), s.v_dim, next, many);
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
  const float scale = *c.p.softmax_scale;
  const auto to_rows = [&](float* rows) {
    return [=, &c](int64_t i) { return rows + i * c.k_stride; };
  };
  // A scale comes after normalising: lengths are of the rows as they are.
  read_rows(h, Part::kQ, first, n, c.p.normalize_qk ? 1.0f : scale, c.panel, to_rows(h.m.q));
  read_rows(h, Part::kK, first, n, 1.0f, c.panel, to_rows(h.m.k));
  read_rows(h, Part::kV, first, n, 1.0f, c.tokens * c.panel,
            [&](int64_t i) { return h.m.v + i * c.panel; });
  if (!c.p.normalize_qk) return;
  const auto width = static_cast<int32_t>(c.k_stride);
  for (int64_t i = 0; i < n; ++i) {
    float *const q = h.m.q + i * width, *const k = h.m.k + i * width;
    c.ops.scale(q, scale * inverse_length(c.ops, q, width, c.p.l2_eps), width, q);
    c.ops.scale(k, inverse_length(c.ops, k, width, c.p.l2_eps), width, k);
  }
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
  ask_ahead(h, first, n);
  read_qkv(h, first, n);
  read_gates(h, first, n);
  if (h.c.per_channel) read_channel_decays(h, first, n);
}

}  // namespace attend::native
