#include "backends/gpu/host/ring_memory.h"

#include "backends/gpu/call/pack.h"
#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"

namespace attend::gpu {
namespace {

constexpr uint64_t kAlignment = 256;
uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Whether rows of `dims` elements are whole words of 16 bytes, each at an address of its own.
bool in_words(const RowsView& from, int64_t dims) {
  constexpr int64_t kWord = 16;
  const int64_t size = size_bytes(from.dtype);
  return from.dim == 1 && dims * size % kWord == 0 && from.row * size % kWord == 0 &&
         from.head * size % kWord == 0 && reinterpret_cast<uintptr_t>(from.base) % kWord == 0;
}

Status pack_rows(const RowsView& from, int64_t rows, int64_t heads, int64_t dims, std::byte** to,
                 const ExecContext& context) {
  const int64_t blocks = (rows + kPackRows - 1) / kPackRows;
  if (blocks == 0) return {};
  PackCall call{from, *to, rows, static_cast<int32_t>(heads), static_cast<int32_t>(dims)};
  const int64_t bytes = rows * heads * dims * size_bytes(from.dtype);
  call.words = heads * dims > 1 && in_words(from, dims) &&
               reinterpret_cast<uintptr_t>(*to) % sizeof(uint64_t[2]) == 0;
  *to += bytes;
  return launch(kPack, {static_cast<int>(blocks), 1, 1}, 0, call, context);
}

Status pack_ids(const TensorView& ids, const Sequence& s, std::byte** to,
                const ExecContext& context) {
  const IndexVector own = ids_of(ids, s.b, s.k_first);
  RowsView from{const_cast<std::byte*>(own.data), own.stride, 0, 1, ids.dtype};
  std::byte* at = *to;
  *to += s.k_len * static_cast<int64_t>(sizeof(int64_t));
  return pack_rows(from, s.k_len, 1, 1, &at, context);
}

}  // namespace

DeviceBuffers::DeviceBuffers(const RingTransport& ring, const ExecContext& context)
    : context_(context), direct_(ring.reaches(kPluginDevice)) {
  if (direct_) stream = context.stream;
}

uint64_t DeviceBuffers::device_bytes(uint64_t block_bytes) const {
  return aligned(block_bytes) * (direct_ ? 2 : 1);
}

Status DeviceBuffers::pack(const AttentionArgs& a, const AttentionParams& p,
                           const RingBlocks& blocks, const std::vector<RingSequence>& sequences,
                           std::byte* at) {
  const CallShape shape = call_shape(a);
  const RingBlocks::Parts parts = blocks.parts_of(p.ring_transport->rank());
  on_device_ = at;
  std::byte *k = at, *v = k + parts.v, *ids = k + parts.ids;
  for (const RingSequence& sequence : sequences) {
    const Sequence& s = sequence.s;
    Status status = pack_rows(rows_of(a.k, s.b, s.k_first), s.k_len, shape.kv_heads, shape.head_dim,
                              &k, context_);
    if (status && !parts.v_in_k)
      status = pack_rows(rows_of(a.v, s.b, s.k_first), s.k_len, shape.kv_heads, shape.v_dim, &v,
                         context_);
    if (status && p.mask.kv_segment_ids)
      status = pack_ids(p.mask.kv_segment_ids, s, &ids, context_);
    if (!status) return status;
  }
  if (direct_) {
    buffer[0] = at;
    buffer[1] = at + aligned(blocks.most_bytes());
    return {};
  }
  for (int i = 0; i < 2; ++i) {
    if (const Status s = staging_[i].take(context_, blocks.most_bytes()); !s) return s;
    buffer[i] = staging_[i].data();
  }
  if (const Status s = staging_[0].copy(buffer[0], at, parts.bytes); !s) return s;
  return staging_[0].wait();
}

Status DeviceBuffers::before_receiving(int i) { return direct_ ? Status{} : staging_[i].wait(); }

Status DeviceBuffers::received(int i, uint64_t bytes, std::byte** at) {
  *at = direct_ ? buffer[i] : on_device_;
  return direct_ ? Status{} : staging_[i].copy(on_device_, buffer[i], bytes);
}

Status gather_words(RingTransport& ring, std::vector<int64_t>& all, int64_t words,
                    const ExecContext& context) {
  auto* const native = reinterpret_cast<std::byte*>(all.data());
  const uint64_t bytes = static_cast<uint64_t>(words) * sizeof(int64_t);
  if (ring.reaches(DeviceType::kNative)) return ring_gather(ring, native, bytes, nullptr);
  ExecContext apart = context;  // the workspace is for what comes later
  apart.workspace = nullptr;
  apart.workspace_bytes = 0;
  const uint64_t all_bytes = bytes * static_cast<uint64_t>(ring.size());
  const Scratch scratch(apart, all_bytes);
  if (!scratch)
    return {ErrorCode::kOutOfMemory, "{} bytes of device memory are not to be had",
            static_cast<int64_t>(all_bytes)};
  const driver::Current current(context.device.index);
  if (current.code() != 0) return failed("making the device current", current.code());
  if (const driver::Code code = driver::copy(scratch.data(), native, all_bytes, context.stream))
    return failed("copy", code);
  if (const Status s =
          ring_gather(ring, static_cast<std::byte*>(scratch.data()), bytes, context.stream);
      !s)
    return s;
  driver::Code code = driver::copy(native, scratch.data(), all_bytes, context.stream);
  if (code == 0) code = driver::synchronize(context.stream);
  return code == 0 ? Status{} : failed("copy", code);
}

}  // namespace attend::gpu
