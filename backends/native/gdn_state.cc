// The state of a head: value rows of k_dim floats in the call's tensors, with any strides; panels of
// value dims in the memory of chunks; rows that steps can work on where they lie, or copies of them.
#include "backends/native/gdn_call.h"
#include "ops/gdn/rows.h"

namespace attend::native {
namespace {

GdnRows rows_of(const GdnHead& h, const TensorView& t) {
  if (!t) return {};
  return {state_head(t, h.s.slot, h.head) + h.first_v() * t.stride[2], t.stride[2], t.stride[3]};
}

void point_rows(const GdnHead& h, const GdnRows& at) {
  for (int64_t v = 0; v < h.v_dims(); ++v) h.m.rows[v] = at.base + v * at.row;
}

float* first_panel(const GdnHead& h) {
  return h.m.state + h.first_panel * h.c.shape.k_dim * h.c.panel;
}

}  // namespace

GdnRows first_state(const GdnHead& h) { return rows_of(h, h.c.a.state); }
GdnRows last_state(const GdnHead& h) {
  return rows_of(h, h.c.a.final_state ? h.c.a.final_state : h.c.a.state);
}

// Vectors that cross cache lines cost a third more a token, a copy as much as two tokens.
bool serves_steps(const GdnHead& h, const GdnRows& rows, int64_t tokens) {
  const bool lines = reinterpret_cast<uintptr_t>(rows.base) % 64 == 0 && rows.row % 16 == 0;
  return rows.base != nullptr && rows.step == 1 && h.c.shape.k_dim == h.c.k_stride &&
         (lines || tokens <= 4);
}

void load_panels(const GdnHead& h, const GdnRows& from) {
  const int64_t k_dim = h.c.shape.k_dim;
  if (from.base == nullptr) {
    std::fill_n(first_panel(h), (h.last_panel - h.first_panel) * k_dim * h.c.panel, 0.0f);
    return;
  }
  point_rows(h, from);
  h.c.ops.to_panels(h.m.rows, from.step, static_cast<int32_t>(h.v_dims()),
                    static_cast<int32_t>(k_dim), first_panel(h));
}

void store_panels(const GdnHead& h, const GdnRows& to) {
  if (to.base == h.m.state_rows) std::fill_n(to.base, h.v_dims() * to.row, 0.0f);
  point_rows(h, to);
  h.c.ops.from_panels(first_panel(h), static_cast<int32_t>(h.v_dims()),
                      static_cast<int32_t>(h.c.shape.k_dim), h.m.rows, to.step);
}

void copy_state(const GdnHead& h, const GdnRows& from, const GdnRows& to) {
  const int64_t k_dim = h.c.shape.k_dim, dims = h.v_dims();
  if (to.base == h.m.state_rows) std::fill_n(to.base, dims * to.row, 0.0f);
  if (from.base == nullptr) return;
  for (int64_t v = 0; v < dims; ++v)
    for (int64_t k = 0; k < k_dim; ++k)
      to.base[v * to.row + k * to.step] = from.base[v * from.row + k * from.step];
}

}  // namespace attend::native
