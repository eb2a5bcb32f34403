// A backend plugin that claims to be "cuda" and whose one device is this machine's memory, so that
// the module's way to a device is walked without one. Its flash writes the softmax scale
// everywhere; a seqused_k of 1000 or more is an index that its kernel finds bad.
#include <cstdlib>
#include <cstring>

#include "attend/backend_plugin.h"

namespace {

using namespace attend;

int g_synchronized = 0;

Status ok(const Device&) { return {}; }
Status supports(const AttentionArgs&, const AttentionParams& p, const Device&) {
  if (p.softcap > 0.0f) return {ErrorCode::kUnsupported, "softcap is set; not implemented", 0};
  return {};
}
uint64_t no_workspace(const AttentionArgs&, const AttentionParams&, int32_t) { return 0; }
Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& c) {
  if (c.stream == reinterpret_cast<void*>(66))
    return {ErrorCode::kDeviceError, "vendor error {}", 700};
  auto* out = static_cast<float*>(a.out.data);
  for (int64_t i = 0; i < a.out.num_elements(); ++i) out[i] = *p.softmax_scale;
  if (a.seq.seqused_k && c.check_indices == CheckIndices::kOn)
    if (const auto n = *static_cast<int64_t*>(a.seq.seqused_k.data); n >= 1000)
      *c.error_word = {static_cast<int32_t>(ErrorCode::kOutOfRange),
                       static_cast<int32_t>(ErrorArgument::kSequsedK), 0, n};
  return {};
}

int32_t one_device() { return 1; }
Status status() { return {}; }
const char* device_name(int32_t) { return "stand-in"; }
void* allocate(void*, Device, uint64_t bytes, uint64_t alignment, void*) {
  return std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
}
void deallocate(void*, Device, void* data, uint64_t, void*) { std::free(data); }
Status copy(void* to, Device, const void* from, Device, uint64_t bytes, void*) {
  std::memcpy(to, from, bytes);
  return {};
}
Status synchronize(Device, void*) {
  ++g_synchronized;
  return {};
}

const AttentionKernel kRows[] = {{OpId::kFlash, DeviceType::kCuda, "flash/cuda/stand_in",
                                  "writes the scale", 0, ok, supports, no_workspace, run}};
const BackendTable kTable = {abi_sizes(),
                             "cuda",
                             DeviceType::kCuda,
                             one_device,
                             status,
                             device_name,
                             {allocate, deallocate, nullptr},
                             {allocate, deallocate, nullptr},
                             copy,
                             synchronize,
                             nullptr,
                             1,
                             kRows,
                             0,
                             nullptr,
                             0,
                             nullptr};

}  // namespace

extern "C" ATTEND_API const BackendTable* attend_backend_v1() { return &kTable; }
extern "C" ATTEND_API int stand_in_synchronized() { return g_synchronized; }
