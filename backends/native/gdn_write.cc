// What a gdn call leaves behind besides the state: rows of out, through the gated norm if there is
// one, and the inputs that the convolution of the next call needs.
#include <cmath>
#include <cstring>

#include "backends/native/convert.h"
#include "backends/native/elem.h"
#include "backends/native/gdn_call.h"
#include "ops/gdn/rows.h"

namespace attend::native {
namespace {

// x / sqrt(mean(x^2) + eps) * weight * silu(z), in place.
void normalise(const GdnHead& h, const std::byte* z, int64_t z_step) {
  const GdnCall& c = h.c;
  const int64_t v_dim = c.shape.v_dim;
  load_row(z, z_step, c.a.z.dtype, v_dim, h.m.z);
  double squares =
      static_cast<double>(c.ops.sum_squares(h.m.row, static_cast<int32_t>(c.v_stride)));
  if (!(squares > 1e-30 && squares < 1e30)) {  // what f32 cannot hold
    squares = 0.0;
    for (int64_t e = 0; e < v_dim; ++e) squares += static_cast<double>(h.m.row[e]) * h.m.row[e];
  }
  const double length =
      std::sqrt(squares / static_cast<double>(v_dim) + static_cast<double>(c.p.norm_eps));
  c.ops.gate(h.m.row, length == 0.0 ? 0.0f : static_cast<float>(1.0 / length), h.m.norm, h.m.z,
             static_cast<int32_t>(c.v_stride));
}

}  // namespace

void write_tokens(const GdnHead& h, int64_t first, int64_t n) {
  const GdnCall& c = h.c;
  const RowsView out = token_rows(c.a.out, c.shape, h.s);
  const Elem elem = elem_of(out.dtype);
  const auto dims = static_cast<int32_t>(h.v_dims());
  const float* const values = h.m.out + h.first_panel * c.tokens * c.panel;
  const auto to = [&](int64_t i) {
    return out.at(first + i, h.head) + h.first_v() * out.dim * size_bytes(out.dtype);
  };
  if (!c.a.z) {
    for (int64_t i = 0; i < n; ++i)
      c.ops.store_row(values + i * c.panel, c.tokens * c.panel, dims, to(i), out.dim, elem);
    return;
  }
  const RowsView z = token_rows(c.a.z, c.shape, h.s);
  std::fill_n(h.m.row, c.v_stride, 0.0f);
  std::fill_n(h.m.z, c.v_stride, 0.0f);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < c.v_panels; ++p)
      std::copy_n(values + (p * c.tokens + i) * c.panel,
                  std::min(c.panel, c.shape.v_dim - p * c.panel), h.m.row + p * c.panel);
    normalise(h, z.at(first + i, h.head), z.dim);
    c.ops.store_row(h.m.row, c.panel, dims, to(i), out.dim, elem);
  }
}

void write_padding(const GdnCall& c, const GdnSequence& s, int64_t head) {
  if (s.len == 0) return;
  const RowsView out = token_rows(c.a.out, c.shape, s);
  for (int64_t i = 0; i < s.len; ++i)
    for (int64_t e = 0; e < c.shape.v_dim; ++e)
      store(out.at(i, head) + e * out.dim * size_bytes(out.dtype), out.dtype, 0.0f);
}

// Input t of the next call's past is input t + len of this call's past and rows together; in this
// order what is still to be read has not been written yet.
void write_conv_state(const GdnCall& c, const GdnSequence& s) {
  const TensorView& past = c.a.conv_state;
  const int64_t kept = c.shape.taps - 1;
  if (s.len == 0 || s.padding) return;
  const RowsView mixed = token_rows(c.a.mixed_qkv, c.shape, s);
  const auto bytes = static_cast<size_t>(size_bytes(past.dtype));
  for (int64_t channel = 0; channel < c.shape.channels; ++channel) {
    const int64_t row = s.slot * past.stride[0] + channel * past.stride[1];
    for (int64_t t = 0; t < kept; ++t) {
      const std::byte* const from = t + s.len < kept
                                        ? element(past, row + (t + s.len) * past.stride[2])
                                        : mixed.at(t + s.len - kept, channel);
      std::memcpy(element(past, row + t * past.stride[2]), from, bytes);
    }
  }
}

}  // namespace attend::native
