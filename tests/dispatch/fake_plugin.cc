// A backend plugin without a device: memory is the host's under other addresses, and flash is the
// mean of v, which is exact where q is zero. The variants built from this file are each wrong in
// one way (see CMakeLists.txt).
#include "tests/dispatch/fake_plugin.h"

#include <cstdlib>
#include <cstring>

#include "attend/backend_plugin.h"

#if !defined(FAKE_DEVICE)
#define FAKE_DEVICE kCuda
#define FAKE_NAME "cuda"
#endif
#if !defined(FAKE_DEVICES)
#define FAKE_DEVICES 1
#endif

using namespace attend;

namespace {

FakeState state;
constexpr DeviceType kDevice = DeviceType::FAKE_DEVICE;
constexpr int32_t kDevices = FAKE_DEVICES;

void* to_host(void* p) {
  return reinterpret_cast<void*>(reinterpret_cast<uint64_t>(p) & ~kFakeDeviceBit);
}
void* to_device(void* p) {
  return reinterpret_cast<void*>(reinterpret_cast<uint64_t>(p) | kFakeDeviceBit);
}
const float* floats(const TensorView& t) { return static_cast<const float*>(to_host(t.data)); }

Status available(const Device& device) {
  if (device.index >= kDevices)
    return {ErrorCode::kUnsupported, "the fake backend has no device {}", device.index};
  return {};
}

Status supports(const AttentionArgs& a, const AttentionParams& p, const Device& device) {
  if (const Status s = available(device); !s) return s;
  if (a.q.dtype != DType::kF32) return {ErrorCode::kUnsupported, "dtype is not f32", 0};
  if (p.softcap > 0) return {ErrorCode::kUnsupported, "softcap is set; not implemented", 0};
  return {};
}

Status supports_nothing(const AttentionArgs& a, const AttentionParams&, const Device&) {
  return {ErrorCode::kUnsupported, "head_dim is {}, supported 1024", a.q.dim(3)};
}

uint64_t no_workspace(const AttentionArgs&, const AttentionParams&, int32_t) { return 0; }

Status run(const AttentionArgs& a, const AttentionParams&, const ExecContext& context) {
  if (state.run_fails) return {ErrorCode::kDeviceError, "launch failed with {}", 719};
  ++state.runs;
  state.ran_on = context.device;
  state.ran_with_stream = context.stream;
  state.error_word = context.error_word;
  const int64_t group = a.q.dim(2) / a.k.dim(2), keys = a.k.dim(1);
  auto* out = static_cast<float*>(to_host(a.out.data));
  for (int64_t b = 0; b < a.q.dim(0); ++b)
    for (int64_t i = 0; i < a.q.dim(1); ++i)
      for (int64_t h = 0; h < a.q.dim(2); ++h)
        for (int64_t e = 0; e < a.v.dim(3); ++e) {
          double sum = 0;
          for (int64_t j = 0; j < keys; ++j)
            sum += floats(
                a.v)[b * a.v.step(0) + j * a.v.step(1) + h / group * a.v.step(2) + e * a.v.step(3)];
          out[b * a.out.step(0) + i * a.out.step(1) + h * a.out.step(2) + e * a.out.step(3)] =
              static_cast<float>(sum / static_cast<double>(keys));
        }
  return {};
}

[[maybe_unused]] AttentionKernel row(const char* name, int32_t priority) {
  return {OpId::kFlash, kDevice,  name,         "mean of v", priority,
          available,    supports, no_workspace, run};
}

void* allocate(void*, Device device, uint64_t bytes, uint64_t alignment, void*) {
  if (state.out_of_memory || device.type != kDevice || device.index >= kDevices) return nullptr;
  void* p = nullptr;
  if (posix_memalign(&p, alignment, bytes + 1) != 0) return nullptr;
  ++state.live_blocks;
  state.live_bytes += static_cast<int64_t>(bytes);
  return to_device(p);
}

[[maybe_unused]] void deallocate(void*, Device, void* data, uint64_t bytes, void*) {
  --state.live_blocks;
  state.live_bytes -= static_cast<int64_t>(bytes);
  std::free(to_host(data));
}

[[maybe_unused]] void* allocate_pinned(void*, Device, uint64_t bytes, uint64_t alignment, void*) {
  void* p = nullptr;
  if (state.out_of_memory || posix_memalign(&p, alignment, bytes + 1) != 0) return nullptr;
  ++state.live_pinned;
  return p;
}
[[maybe_unused]] void deallocate_pinned(void*, Device, void* data, uint64_t, void*) {
  --state.live_pinned;
  std::free(data);
}
[[maybe_unused]] ErrorWord* error_word(Device) {
  return static_cast<ErrorWord*>(to_device(&state.own_word));
}

// Knows its own memory and native memory, as a vendor's driver does.
Status copy(void* to, Device to_device, const void* from, Device from_device, uint64_t bytes,
            void*) {
  if (state.copy_fails) return {ErrorCode::kDeviceError, "copy failed with {}", 700};
  for (const DeviceType side : {to_device.type, from_device.type})
    if (side != kDevice && side != DeviceType::kNative)
      return {ErrorCode::kDeviceError, "memory of another vendor's device", 0};
  ++state.copies;
  if (to_device.type == kDevice) to = to_host(to);
  if (from_device.type == kDevice) from = to_host(const_cast<void*>(from));
  std::memcpy(to, from, bytes);
  return {};
}

Status synchronize(Device, void*) {
  ++state.synchronizes;
  return {};
}

int32_t device_count() { return kDevices; }
Status status() {
  if (kDevices > 0) return {};
  return {ErrorCode::kBackendUnavailable, "driver 12 is older than wanted", 0};
}
const char* device_name(int32_t) { return "Fake 1000"; }

AttentionKernel rows[] = {row("flash/" FAKE_NAME "/mean", 10),
                          row("flash/" FAKE_NAME "/picky", 20)};

[[maybe_unused]] BackendTable make_table() {
  rows[1].supports = supports_nothing;
  BackendTable t{};
  t.abi = abi_sizes();
  t.name = FAKE_NAME;
  t.device = kDevice;
  t.device_count = device_count;
  t.status = status;
  t.device_name = device_name;
  t.allocator = {allocate, deallocate, nullptr};
  t.pinned = {allocate_pinned, deallocate_pinned, nullptr};
  t.error_word = error_word;
  t.copy = copy;
  t.synchronize = synchronize;
  t.num_attention_kernels = 2;
  t.attention_kernels = rows;
#if defined(FAKE_OTHER_VERSION)
  t.abi.version = kAbiVersion + 41;
#elif defined(FAKE_OTHER_SIZE)
  t.abi.attention_params += 8;
#elif defined(FAKE_NULL_ROWS)
  t.attention_kernels = nullptr;
#elif defined(FAKE_NULL_RUN)
  rows[1].run = nullptr;
#elif defined(FAKE_NULL_SUMMARY)
  rows[0].summary = nullptr;
#elif defined(FAKE_FOREIGN_ROW)
  rows[1].device = DeviceType::kRocm;
#elif defined(FAKE_UNKNOWN_OP)
  rows[0].op = static_cast<OpId>(77);
#elif defined(FAKE_GDN_IN_ATTENTION)
  rows[0].op = OpId::kGdn;
#elif defined(FAKE_UNKNOWN_DEVICE)
  t.device = rows[0].device = rows[1].device = static_cast<DeviceType>(7);
#elif defined(FAKE_NULL_COUNT)
  t.device_count = nullptr;
#elif defined(FAKE_NULL_COPY)
  t.copy = nullptr;
#elif defined(FAKE_HALF_ALLOCATOR)
  t.allocator.deallocate = nullptr;
#elif defined(FAKE_NULL_DEVICE_NAME)
  t.device_name = nullptr;
#endif
  return t;
}

}  // namespace

extern "C" ATTEND_API FakeState* fake_state() { return &state; }

#if !defined(FAKE_NO_SYMBOL)
extern "C" ATTEND_API const BackendTable* attend_backend_v1() {
#if defined(FAKE_NULL_TABLE)
  return nullptr;
#else
  static const BackendTable table = make_table();
  return &table;
#endif
}
#endif
