// The gated delta rule over a run of tokens of one head.
//
// A chunk has the state transposed, as panels of value dims [k_dim][panel], so that every product
// has its right operand in rows of a panel: value dims never meet, and one panel of the state
// (16 KiB with AVX-512 at k_dim 128) stays in the first-level cache. Steps have it by value rows.
//
//   chunk of n tokens (reference/operators.md 2.9; G = sums of g, every exponent <= 0)
//     once        A = -strict_lower(beta (K K^T) o D), P = lower((Q K^T) o D), D_ij = exp(G_i-G_j)
//     per panel   U = beta V - (beta e^G K) S;  U = (I - A)^-1 U by substitution
//                 O = (e^G Q) S + P U;  S = e^{G_n} S + (e^{G_n - G} K)^T U
//   steps         the recurrence itself, for single tokens, last parts of a few tokens, decays per
//                 channel and chunk_size 1
//   cost          a token and head: a chunk 6 k_dim v_dim FLOP and 2 n (k_dim + v_dim) for its
//                 triangles; a step 8 k_dim v_dim, half of it bound by loads and stores
#include <cmath>

#include "backends/native/gdn_call.h"

namespace attend::native {
namespace {

using Onto = GdnOps::Onto;

// Rows of k whose tokens are `factor` of what they were.
template <class F>
void scale_rows(const GdnHead& h, const float* from, int64_t n, float* to, F&& factor) {
  for (int64_t i = 0; i < n; ++i)
    h.c.ops.scale(from + i * h.c.k_stride, factor(i), static_cast<int32_t>(h.c.k_stride),
                  to + i * h.c.k_stride);
}

float exp_of(double x) { return std::exp(static_cast<float>(x)); }

// A and P of the chunk, from K, Q and the sums of g.
void make_triangles(const GdnHead& h, int64_t n) {
  const GdnCall& c = h.c;
  const auto k_dim = static_cast<int32_t>(c.shape.k_dim);
  for (int64_t i = 0; i < n; ++i) h.m.rows[i] = h.m.k + i * c.k_stride;
  c.ops.to_panels(h.m.rows, 1, static_cast<int32_t>(n), k_dim, h.m.kt);
  for (int64_t j = 0; j < n; j += c.panel) {  // rows above the first column are not used
    const float* const columns = h.m.kt + j * k_dim;
    const auto triangle = [&](const float* left, float* to) {
      c.ops.multiply(to + j * c.a_stride + j, c.a_stride, static_cast<int32_t>(n - j), Onto::kZero,
                     nullptr, left + j * c.k_stride, c.k_stride, 1, columns, k_dim);
    };
    triangle(h.m.k, h.m.a);
    triangle(h.m.q, h.m.p);
  }
  for (int64_t i = 0; i < n; ++i) {
    const int64_t width = padded(i + 1, 16);
    for (int64_t j = 0; j <= i; ++j) h.m.exponent[j] = static_cast<float>(h.m.g[i] - h.m.g[j]);
    std::fill(h.m.exponent + i + 1, h.m.exponent + width, 0.0f);
    c.ops.decay(h.m.a + i * c.a_stride, h.m.p + i * c.a_stride, h.m.exponent, -h.m.beta[i],
                static_cast<int32_t>(width));
  }
}

}  // namespace

void run_steps(const GdnHead& h, int64_t n, const GdnRows& from, const GdnRows& to) {
  const GdnCall& c = h.c;
  const int64_t stride = c.k_stride, at = h.first_panel * c.tokens * c.panel;
  for (int64_t i = 0; i < n; ++i) {
    float *const growth = h.m.left_q + i * stride, *const decayed = h.m.left_k + i * stride;
    const float* const k = h.m.k + i * stride;
    if (!c.per_channel) std::fill_n(growth, stride, static_cast<float>(std::expm1(h.m.g[i])));
    for (int64_t e = 0; e < stride; ++e) decayed[e] = k[e] + growth[e] * k[e];
  }
  c.ops.steps({from.base, to.base, from.row, to.row, static_cast<int32_t>(h.v_dims()),
               static_cast<int32_t>(stride), static_cast<int32_t>(n), stride, h.m.left_q,
               h.m.left_k, h.m.k, h.m.q, h.m.beta, h.m.v + at, h.m.out + at, c.tokens * c.panel});
}

void run_chunk(const GdnHead& h, int64_t n) {
  const GdnCall& c = h.c;
  GdnMemory& m = h.m;
  const auto k_dim = static_cast<int32_t>(c.shape.k_dim), rows = static_cast<int32_t>(n);
  for (int64_t i = 1; i < n; ++i) m.g[i] += m.g[i - 1];
  make_triangles(h, n);
  const double last = m.g[n - 1];
  scale_rows(h, m.k, n, m.left_k, [&](int64_t i) { return -m.beta[i] * exp_of(m.g[i]); });
  scale_rows(h, m.q, n, m.left_q, [&](int64_t i) { return exp_of(m.g[i]); });
  scale_rows(h, m.k, n, m.k, [&](int64_t i) { return exp_of(last - m.g[i]); });
  std::fill_n(m.growth, k_dim, static_cast<float>(std::expm1(last)));
  for (int64_t p = h.first_panel; p < h.last_panel; ++p) {
    float* const state = m.state + p * k_dim * c.panel;
    float* const u = m.v + p * c.tokens * c.panel;
    float* const out = m.out + p * c.tokens * c.panel;
    c.ops.multiply(u, c.panel, rows, Onto::kScaled, m.beta, m.left_k, c.k_stride, 1, state, k_dim);
    c.ops.solve(u, rows, m.a, c.a_stride);
    c.ops.multiply(out, c.panel, rows, Onto::kZero, nullptr, m.left_q, c.k_stride, 1, state, k_dim);
    c.ops.lower(out, u, rows, m.p, c.a_stride);
    c.ops.multiply(state, c.panel, k_dim, Onto::kGrown, m.growth, m.k, 1, c.k_stride, u, rows);
  }
}

}  // namespace attend::native
