#include "tests/support/case_keys.h"

#include "tests/support/element.h"

namespace attend::testing {
namespace {

// What a quantised value is divided by, so that its format holds values around 1 well.
float usual_descale(const AttentionCase& c, DType dtype) {
  if (!is_quantised(dtype)) return 1;
  if (dtype == DType::kI8) return c.descale == Descale::kNone ? 0.25f : 0.03125f;
  return c.descale == Descale::kNone ? 1 : 0.0625f;
}

TensorView make_descale(CaseMemory& memory, DType dtype) {
  const AttentionCase& c = memory.c;
  if (c.descale == Descale::kNone || !is_quantised(dtype)) return {};
  memory.next_role();
  const std::vector<int64_t> shapes[] = {{}, {}, {1}, {c.kv_heads}, {c.batch, c.kv_heads}};
  const std::vector<int64_t>& shape = shapes[static_cast<size_t>(c.descale)];
  int64_t n = 1;
  for (int64_t dim : shape) n *= dim;
  auto* values = reinterpret_cast<float*>(memory.input(n * 4));
  for (int64_t i = 0; i < n; ++i)
    values[i] = usual_descale(c, dtype) * (0.75f + 0.01f * static_cast<float>(memory.draw(i) % 64));
  return contiguous(values, DType::kF32, shape);
}

// The first dim_v elements of k.
TensorView first_of(const TensorView& k, int64_t dim_v) {
  TensorView v = k;
  v.shape[static_cast<size_t>(v.rank - 1)] = dim_v;
  return v;
}

}  // namespace

CaseKeys make_keys(CaseMemory& memory, const CaseLengths& lengths, AttentionArgs& args) {
  const AttentionCase& c = memory.c;
  const bool ragged = c.layout == Layout::kRagged;
  CaseKeys keys;
  if (c.paged()) keys.pages = make_pages(memory, lengths, args.seq);
  const auto shape = [&](int64_t dim) {
    if (c.paged()) return std::vector<int64_t>{keys.pages.count, c.page_size, c.kv_heads, dim};
    if (ragged) return std::vector<int64_t>{lengths.total_keys, c.kv_heads, dim};
    return std::vector<int64_t>{c.batch, c.seqlen_k, c.kv_heads, dim};
  };
  const int position = ragged && !c.paged() ? 0 : 1;
  const auto cache = [&](DType dtype, int64_t dim, const Block*& block) {
    TensorView view = memory.floats(dtype, shape(dim), c.strides, position, position + 1,
                                    1 / usual_descale(c, dtype), !c.stores());
    block = &memory.last_input();
    return view;
  };
  args.k = cache(c.k_dtype(), c.head_dim, keys.k);
  args.v = c.v_in_k ? first_of(args.k, c.dim_v()) : cache(c.v_dtype(), c.dim_v(), keys.v);
  args.k_descale = make_descale(memory, c.k_dtype());
  args.v_descale = make_descale(memory, c.v_dtype());
  if (c.own_rows == OwnRows::kNone) return keys;

  const bool batched = c.own_rows == OwnRows::kBatched && !ragged;
  const auto own = [&](int64_t dim, const Block*& block) {
    const int64_t tokens = ragged ? lengths.total_rows : c.batch * c.seqlen_q;
    const auto own_shape = batched ? std::vector<int64_t>{c.batch, c.seqlen_q, c.kv_heads, dim}
                                   : std::vector<int64_t>{tokens, c.kv_heads, dim};
    TensorView view =
        memory.floats(c.dtype, own_shape, c.strides, batched ? 1 : 0, batched ? 2 : 1);
    block = &memory.last_input();
    return view;
  };
  args.k_new = own(c.head_dim, keys.k_new);
  args.v_new = c.v_in_k ? first_of(args.k_new, c.dim_v()) : own(c.dim_v(), keys.v_new);
  return keys;
}

}  // namespace attend::testing
