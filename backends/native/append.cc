// append/native: new rows of k and v go to their slots in the pages.
//
//   task     kTokens rows of one request (append alone has one), all kv heads, k and then v
//   per row  copied where the dtypes agree, bit for bit, all heads at once where they lie side by
//            side; else one head of one token, in pieces of kPiece, widened to f32, divided by the
//            descale, rounded once and saturated: by vectors (isa/quantise-inl.h) where the machine
//            has them, with the bits of quantise() below
//   traffic  each element is read once and written once
//   order    slots are distinct: tasks never meet
#include "backends/native/append.h"

#include <algorithm>

#include "attend/registry.h"
#include "backends/native/convert.h"
#include "backends/native/cpu_features.h"
#include "backends/native/elem.h"
#include "backends/native/isa/row_ops.h"
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

// A piece of a head of one token into 8 bits. by_vectors may be null.
void quantise_piece(const RowOps* by_vectors, const RowsView& from, const std::byte* src,
                    const RowsView& to, std::byte* dst, int64_t n, float descale) {
  const bool adjacent = from.dim == 1;
  float x[kPiece];
  if (by_vectors == nullptr || !(descale >= kLeastDivisor && descale <= kMostDivisor)) {
    load_row(src, from.dim, from.dtype, n, x);
    return quantise(x, n, descale, dst, to.dim, to.dtype);
  }
  if (!adjacent) load_row(src, from.dim, from.dtype, n, x);
  uint8_t codes[kPiece];
  by_vectors->quantise(adjacent ? static_cast<const void*>(src) : x,
                       adjacent ? elem_of(from.dtype) : Elem::kF32, n, descale,
                       to.dim == 1 ? reinterpret_cast<uint8_t*>(dst) : codes, elem_of(to.dtype));
  if (to.dim == 1) return;
  for (int64_t d = 0; d < n; ++d) std::memcpy(dst + d * to.dim, codes + d, 1);
}

// Head h of one token, of a type other than the cache's. Descale counts where that is quantised.
void convert_head(const RowOps* by_vectors, const RowsView& from, const std::byte* src,
                  const RowsView& to, std::byte* dst, int64_t dim, float descale) {
  for (int64_t d0 = 0; d0 < dim; d0 += kPiece) {
    const int64_t n = std::min(kPiece, dim - d0);
    const std::byte* piece = src + d0 * from.dim * size_bytes(from.dtype);
    std::byte* put = dst + d0 * to.dim * size_bytes(to.dtype);
    if (quantised(to.dtype)) {
      quantise_piece(by_vectors, from, piece, to, put, n, descale);
      continue;
    }
    float x[kPiece];
    load_row(piece, from.dim, from.dtype, n, x);
    store_row(x, n, put, to.dim, to.dtype);
  }
}

// Rows of one tensor of one request.
struct Rows {
  const RowOps* by_vectors;
  RowsView from;
  const TensorView& pages;
  const TensorView& descale;

  void store(int64_t b, int64_t i, int64_t slot) const {
    const int64_t page_size = pages.dim(1), heads = pages.dim(2), dim = pages.dim(3),
                  offset = slot % page_size;
    const RowsView to = rows_of(pages, slot / page_size, 0);
    if (from.dtype != to.dtype) {
      for (int64_t h = 0; h < heads; ++h)
        convert_head(by_vectors, from, from.at(i, h), to, to.at(offset, h), dim,
                     descale_of(descale, b, h));
    } else if (from.dim == 1 && to.dim == 1 && from.head == dim && to.head == dim) {
      copy(from, from.at(i, 0), to, to.at(offset, 0), heads * dim);
    } else {
      for (int64_t h = 0; h < heads; ++h) copy(from, from.at(i, h), to, to.at(offset, h), dim);
    }
  }
};

void store_rows(const RowOps* by_vectors, const AttentionArgs& a, const ExecContext& context) {
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
    const Rows k{by_vectors, rows_of(a.k_new, b, first), a.k, a.k_descale};
    const Rows v{by_vectors, rows_of(a.v_new, b, first), a.v, a.v_descale};
    for (int64_t i = begin; i < std::min(begin + kTokens, count(b)); ++i) {
      const int64_t slot = index_at(a.seq.slot_mapping, first + i);
      if (slot < 0) continue;
      k.store(b, i, slot);
      if (both) v.store(b, i, slot);
    }
  });
}

template <Isa isa, const RowOps* by_vectors>
AttentionKernel append_row(const char* name, const char* summary, int32_t priority) {
  return {
      OpId::kAppend,
      DeviceType::kNative,
      name,
      summary,
      priority,
      [](const Device&) { return available(isa); },
      [](const AttentionArgs&, const AttentionParams&, const Device&) { return available(isa); },
      [](const AttentionArgs&, const AttentionParams&, int32_t) { return uint64_t{0}; },
      [](const AttentionArgs& a, const AttentionParams&, const ExecContext& context) {
        store_rows(by_vectors, a, context);
        return Status{};
      }};
}

}  // namespace

void store_new_rows(const AttentionArgs& a, const ExecContext& context) {
#if defined(__x86_64__)
  if (available(Isa::kAvx512)) return store_rows(&kAvx512RowOps, a, context);
  if (available(Isa::kAvx2)) return store_rows(&kAvx2RowOps, a, context);
#endif
  store_rows(nullptr, a, context);
}

void add_append(Registry& registry) {
  registry.add(append_row<Isa::kPortable, nullptr>(
      "append/native/portable",
      "k_new, v_new f32 f16 bf16; caches also f8_e4m3 f8_e5m2 i8; pages by any strides; any CPU",
      0));
#if defined(__x86_64__)
  registry.add(append_row<Isa::kAvx2, &kAvx2RowOps>(
      "append/native/avx2",
      "k_new, v_new f32 f16 bf16; caches also f8_e4m3 f8_e5m2 i8; pages by any strides; AVX2 with "
      "FMA",
      10));
  registry.add(append_row<Isa::kAvx512, &kAvx512RowOps>(
      "append/native/avx512",
      "k_new, v_new f32 f16 bf16; caches also f8_e4m3 f8_e5m2 i8; pages by any strides; AVX-512",
      20));
#endif
}

}  // namespace attend::native
