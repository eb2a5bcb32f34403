// The rows of attention by matrix instructions: body/matrix_tiles.h. They differ from the portable
// rows in kernel and in what they take.
#include <algorithm>
#include <array>
#include <string_view>

#include "backends/gpu/call/matrix_tiles.h"
#include "backends/gpu/host/bounds.h"
#include "backends/gpu/host/tiles.h"
#include "ops/common/layout.h"

namespace attend::gpu {
namespace {

constexpr TileKernel tile_kernel(const char* name, MatrixUnit unit, int dim, bool wide) {
  const MatrixShape s = matrix_shape(unit, dim, wide);
  return {
      {name, s.threads()}, s.rows(), static_cast<uint32_t>(MatrixLayout(unit, dim, wide).total)};
}

// The two kernels of one element type and bucket of dimensions.
struct Pair {
  TileKernel wide, narrow;
};
template <MatrixUnit unit>
constexpr std::array<std::array<Pair, 3>, 2> kKernels{{
    {{{tile_kernel("attend_matrix_wide_f16_64", unit, 64, true),
       tile_kernel("attend_matrix_narrow_f16_64", unit, 64, false)},
      {tile_kernel("attend_matrix_wide_f16_128", unit, 128, true),
       tile_kernel("attend_matrix_narrow_f16_128", unit, 128, false)},
      {tile_kernel("attend_matrix_wide_f16_256", unit, 256, true),
       tile_kernel("attend_matrix_narrow_f16_256", unit, 256, false)}}},
    {{{tile_kernel("attend_matrix_wide_bf16_64", unit, 64, true),
       tile_kernel("attend_matrix_narrow_bf16_64", unit, 64, false)},
      {tile_kernel("attend_matrix_wide_bf16_128", unit, 128, true),
       tile_kernel("attend_matrix_narrow_bf16_128", unit, 128, false)},
      {tile_kernel("attend_matrix_wide_bf16_256", unit, 256, true),
       tile_kernel("attend_matrix_narrow_bf16_256", unit, 256, false)}}},
}};

const Pair& kernels_of(const AttentionArgs& a, const DeviceInfo& info) {
  const int64_t dim = std::max(a.q.dim(-1), a.v.dim(-1));
  const size_t type = a.q.dtype == DType::kBF16, bucket = dim <= 64 ? 0 : dim <= 128 ? 1 : 2;
  if (kPluginDevice == DeviceType::kCuda) return kKernels<MatrixUnit::kMma16x8>[type][bucket];
  return info.warp == 64 ? kKernels<MatrixUnit::kMfma16>[type][bucket]
                         : kKernels<MatrixUnit::kWmma16>[type][bucket];
}

TileKernel with_narrow(const Pair& pair) {
  TileKernel kernel = pair.wide;
  kernel.narrow = &pair.narrow;
  return kernel;
}

bool is_narrow_type(DType t) {
  return t == DType::kF8E4M3 || t == DType::kF8E5M2 || t == DType::kI8;
}

// Whether rows can be read eight elements at a time: adjacent, and each begins where eight do.
bool in_eights(const TensorView& t) {
  if (!t) return true;
  if (t.dim(-1) > 1 && t.step(-1) != 1) return false;
  if (reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(8 * size_bytes(t.dtype)) != 0)
    return false;
  for (int i = 0; i + 1 < t.rank; ++i)
    if (t.dim(i) > 1 && t.step(i) % 8 != 0) return false;
  return true;
}

Status refused(const char* message, int64_t detail = 0) {
  return {ErrorCode::kUnsupported, message, detail};
}

Status takes(const AttentionArgs& a, const DeviceInfo& info) {
  const DType type = a.q.dtype;
  if (type != DType::kF16 && type != DType::kBF16)
    return refused("q dtype is not f16 or bf16, expected what matrix instructions multiply");
  if (type == DType::kF16 && std::string_view(info.arch) == "gfx90a")
    return refused("q dtype is f16, expected bf16: matrix instructions of gfx90a flush subnormals");
  // Weights are rounded to 16 bits and their sum is not: an output in f32 would show it.
  if (a.out.dtype != type)
    return refused("out dtype is f32, expected that of q, to which weights are rounded");
  for (const TensorView* cache : {&a.k, &a.v}) {
    if (cache->dtype == type) continue;
    if (!is_narrow_type(cache->dtype)) return refused("k or v dtype is not q's, f8 or i8");
    if (a.k_new) return refused("k_new has another dtype than the cache, expected the same");
  }
  for (const TensorView* t : {&a.q, &a.v}) {
    const int64_t dim = t->dim(-1);
    if (dim < 8 || dim > 256 || dim % 8 != 0)
      return refused(t == &a.q ? "head_dim is {}, expected a multiple of 8 up to 256"
                               : "v_dim is {}, expected a multiple of 8 up to 256",
                     dim);
  }
  for (const TensorView* t : {&a.q, &a.k, &a.v, &a.out, &a.k_new, &a.v_new})
    if (!in_eights(*t))
      return refused(
          "elements of a row are not adjacent or rows do not begin at multiples of 8 elements, "
          "expected both of q, k, v and out");
  if (const int64_t keys = Bounds(a).keys; keys >= int64_t{1} << 30)
    return refused("keys of a sequence are up to {}, expected fewer than 2^30", keys);
  const Pair& pair = kernels_of(a, info);
  const uint32_t bytes = std::max(pair.wide.shared_bytes, pair.narrow.shared_bytes);
  if (info.shared_bytes < bytes)
    return refused("the device has less shared memory for a block than {} bytes", bytes);
  return {};
}

template <OpId op>
AttentionKernel matrix_row(const char* summary) {
  AttentionKernel row{};
  row.op = op;
  row.device = kPluginDevice;
  row.name = row_name(op, "matrix");
  row.summary = summary;
  row.priority = 10;
  row.available = device_available;
  row.supports = [](const AttentionArgs& a, const AttentionParams&, const Device& device) {
    if (const Status s = device_available(device); !s) return s;
    return takes(a, *device_info(device));
  };
  row.workspace_bytes = [](const AttentionArgs& a, const AttentionParams& p, int32_t) {
    const DeviceInfo* info = device_info(a.q.device);
    return info == nullptr
               ? uint64_t{0}
               : tiles_workspace_bytes(with_narrow(kernels_of(a, *info)), a, p, tile_use(op));
  };
  row.run = [](const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
    const DeviceInfo* info = device_info(context.device);
    if (info == nullptr) return device_available(context.device);
    return run_tiles(with_narrow(kernels_of(a, *info)), a, p, context, tile_use(op));
  };
  return row;
}

}  // namespace

void add_matrix(Rows& rows) {
  auto& to = rows.attention;
  to.push_back(matrix_row<OpId::kFlash>(
      "f16 bf16; dense, ragged; head_dim up to 256 in multiples of 8; every mask and score word; "
      "lse; matrix instructions"));
  to.push_back(matrix_row<OpId::kPaged>(
      "f16 bf16, caches also f8 i8; block tables, CSR, new rows stored; head_dim up to 256 in "
      "multiples of 8; every mask and score word; lse; matrix instructions"));
  to.push_back(
      matrix_row<OpId::kDecode>("f16 bf16, caches also f8 i8; start and end; head_dim up to 256 in "
                                "multiples of 8; every mask "
                                "and score word; lse; matrix instructions"));
  to.push_back(
      matrix_row<OpId::kSplash>("f16 bf16; dense, ragged; block masks, planned on the device; "
                                "head_dim up to 256 in multiples "
                                "of 8; every mask and score word; lse; matrix instructions"));
  to.push_back(matrix_row<OpId::kSdpa>("flash's matrix tiles under the frameworks' semantics"));
}

}  // namespace attend::gpu
