// append/native: new rows of k and v go to their slots in the pages.
//
//   task     kTokens rows of one request (append alone has one), all kv heads, k and then v
//   per row  one head of one token, in pieces of kPiece: copied where the dtypes agree, bit for bit;
//            else widened to f32, divided by the descale, rounded once and saturated
//   traffic  each element is read once and written once
//   order    slots are distinct: tasks never meet
#include "backends/native/append.h"

#include <algorithm>

#include "attend/registry.h"
#include "backends/native/convert.h"
#include "backends/native/kernels.h"
#include "backends/native/thread_pool.h"
#include "ops/common/layout.h"

namespace attend::native {
namespace {

constexpr int64_t kTokens = 16, kPiece = 256;

bool quantised(DType dtype) { return size_bytes(dtype) == 1; }

// The quotient of two f32 in double is exact enough to be rounded once: ties of 8-bit types are
// never within its error.
void quantise(const float* from, int64_t n, float descale, std::byte* to, int64_t step,
              DType dtype) {
  const double by = descale;
  const auto each = [&](auto encode) {
    for (int64_t i = 0; i < n; ++i) {
      const auto code = encode(static_cast<double>(from[i]) / by);
      std::memcpy(to + i * step, &code, 1);
    }
  };
  if (dtype == DType::kF8E4M3) return each(f8_e4m3_from);
  if (dtype == DType::kF8E5M2) return each(f8_e5m2_from);
  each(i8_from);
}

void copy(const RowsView& from, const std::byte* src, const RowsView& to, std::byte* dst,
          int64_t dim) {
  const int64_t size = size_bytes(to.dtype);
  if (from.dim == 1 && to.dim == 1) {
    std::memcpy(dst, src, static_cast<size_t>(dim * size));
    return;
  }
  for (int64_t d = 0; d < dim; ++d)
    std::memcpy(dst + d * to.dim * size, src + d * from.dim * size, static_cast<size_t>(size));
}

// Head h of one token. Descale counts where the cache is quantised.
void store_head(const RowsView& from, int64_t i, const RowsView& to, int64_t offset, int64_t h,
                int64_t dim, float descale) {
  const std::byte* src = from.at(i, h);
  std::byte* dst = to.at(offset, h);
  if (from.dtype == to.dtype) return copy(from, src, to, dst, dim);
  float x[kPiece];
  for (int64_t d0 = 0; d0 < dim; d0 += kPiece) {
    const int64_t n = std::min(kPiece, dim - d0);
    load_row(src + d0 * from.dim * size_bytes(from.dtype), from.dim, from.dtype, n, x);
    std::byte* piece = dst + d0 * to.dim * size_bytes(to.dtype);
    if (quantised(to.dtype))
      quantise(x, n, descale, piece, to.dim, to.dtype);
    else
      store_row(x, n, piece, to.dim, to.dtype);
  }
}

// Rows of one tensor of one request.
struct Rows {
  RowsView from;
  const TensorView& pages;
  const TensorView& descale;

  void store(int64_t b, int64_t i, int64_t slot) const {
    const int64_t page_size = pages.dim(1);
    const RowsView to = rows_of(pages, slot / page_size, 0);
    for (int64_t h = 0; h < pages.dim(2); ++h)
      store_head(from, i, to, slot % page_size, h, pages.dim(3), descale_of(descale, b, h));
  }
};

}  // namespace

void store_new_rows(const AttentionArgs& a, const ExecContext& context) {
  if (!a.seq.slot_mapping) return;
  const bool alone = !a.q;  // append: every row, and no requests
  const int64_t batch = alone ? 1 : call_shape(a).batch;
  const auto count = [&](int64_t b) { return alone ? a.k_new.dim(0) : query_rows(a, b); };
  int64_t longest = 0;
  for (int64_t b = 0; b < batch; ++b) longest = std::max(longest, count(b));
  const int64_t chunks = (longest + kTokens - 1) / kTokens, tasks = batch * chunks;
  const bool both = !(is_prefix(a.v, a.k) && is_prefix(a.v_new, a.k_new));
  parallel(context, worker_count(context, tasks), tasks, [&](int64_t task, int32_t) {
    const int64_t b = task / chunks, begin = task % chunks * kTokens;
    const int64_t first = alone ? 0 : first_new_row(a, b);
    const Rows k{rows_of(a.k_new, b, first), a.k, a.k_descale};
    const Rows v{rows_of(a.v_new, b, first), a.v, a.v_descale};
    for (int64_t i = begin; i < std::min(begin + kTokens, count(b)); ++i) {
      const int64_t slot = index_at(a.seq.slot_mapping, first + i);
      if (slot < 0) continue;
      k.store(b, i, slot);
      if (both) v.store(b, i, slot);
    }
  });
}

void add_append(Registry& registry) {
  registry.add(AttentionKernel{
      OpId::kAppend, DeviceType::kNative, "append/native/portable",
      "k_new, v_new f32 f16 bf16; caches also f8_e4m3 f8_e5m2 i8; pages by any strides; any CPU", 0,
      [](const Device&) { return Status{}; },
      [](const AttentionArgs&, const AttentionParams&, const Device&) { return Status{}; },
      [](const AttentionArgs&, const AttentionParams&, int32_t) { return uint64_t{0}; },
      [](const AttentionArgs& a, const AttentionParams&, const ExecContext& context) {
        store_new_rows(a, context);
        return Status{};
      }});
}

}  // namespace attend::native
