// sdpa/cuda/cudnn: the frameworks' attention by cuDNN's own kernels.
//
//   takes     what is in the table below and nothing else; a refusal names what stands in the way,
//             and flash's tiles serve the call. cuDNN may refuse further: its words are passed on.
//   keys      that no row sees are cut off before cuDNN is told of them, so that NaN in their values
//             never meets a weight of 0
//   ragged    lengths and offsets are written by a small kernel before cuDNN's (body/ragged.h), and
//             rows that see no key by one after it: nothing is read back. max_seqlen_q and
//             max_seqlen_k, where they are told, are the plan's sizes, else the tensors' rows
//   pages     never: sdpa takes no page table (paged does), so there is none to tell cuDNN of
//   plans     one a shape, kept (cudnn_plan.h); the workspace comes from the context
//   bits      one query row is refused: cuDNN cuts its keys by how many requests there are, and bits
//             must not depend on that
#include <algorithm>
#include <cmath>
#include <string>

#include "backends/cuda/cudnn_call.h"
#include "backends/cuda/cudnn_plan.h"
#include "backends/cuda/cudnn_ragged.h"
#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"
#include "backends/gpu/host/index_check.h"
#include "backends/gpu/host/rows.h"
#include "backends/gpu/host/runtime.h"

namespace attend::gpu {
namespace {

using cuda::CudnnKey;

// The shapes whose graphs the tests build and tools/gpu_check runs against the oracle.
struct Validated {
  int32_t compute_capability;  // this one and those of its generation
  int64_t largest_dim;
};
constexpr Validated kValidated[] = {{80, 128}, {90, 256}, {100, 128}};
constexpr int64_t kDimStep = 8;     // of head_dim and v_dim
constexpr int64_t kStepBytes = 16;  // of addresses and strides: cuDNN loads 16 bytes at once

// A refusal; {} in the text takes the value, so that there are only so many texts to keep.
Status no(const std::string& text, int64_t value = 0) {
  return {ErrorCode::kUnsupported, kept_text(text), value};
}

const Validated* validated(int32_t compute_capability) {
  for (const Validated& v : kValidated)
    if (v.compute_capability / 10 == compute_capability / 10) return &v;
  return nullptr;
}

// The first word that the call has and cuDNN's row has not; empty if there is none.
std::string foreign_word(const AttentionArgs& a, const AttentionParams& p) {
  const MaskSpec& m = p.mask;
  const std::pair<const char*, bool> words[] = {
      {"softcap", p.softcap > 0},
      {"bias", static_cast<bool>(p.bias)},
      {"alibi_slopes", static_cast<bool>(p.alibi_slopes)},
      {"sinks", static_cast<bool>(p.sinks)},
      {"keep", static_cast<bool>(m.keep)},
      {"block_size", m.block_size > 0},
      {"window_right", m.window_right > 0 || (m.window_right == 0 && !m.causal)},
      {"window_left without causal", m.window_left >= 0 && !m.causal},
      {"q_start", static_cast<bool>(m.q_start)},
      {"prefix_lens", static_cast<bool>(m.prefix_lens)},
      {"hole_starts", static_cast<bool>(m.hole_starts)},
      {"q_segment_ids", static_cast<bool>(m.q_segment_ids)},
      {"seqused_q", static_cast<bool>(a.seq.seqused_q)},
      {"seqused_k", static_cast<bool>(a.seq.seqused_k)}};
  for (const auto& [word, given] : words)
    if (given) return word;
  return "";
}

// Whether cuDNN's wide loads fit a tensor [batch, rows, heads, dim] or [total, heads, dim].
Status layout(const std::string& arg, const TensorView& t) {
  if (t.dim(-1) > 1 && t.step(-1) != 1)
    return no(arg + " stride " + std::to_string(t.rank - 1) + " is {}, expected 1", t.step(-1));
  if (reinterpret_cast<uintptr_t>(t.data) % kStepBytes != 0)
    return no(arg + " address is not a multiple of {}", kStepBytes);
  const int64_t step = kStepBytes / size_bytes(t.dtype);
  for (int i = 0; i < t.rank - 1; ++i)
    if (t.dim(i) > 1 && (t.step(i) <= 0 || t.step(i) % step != 0))
      return no(arg + " stride " + std::to_string(i) + " is {}, expected a positive multiple of " +
                    std::to_string(step),
                t.step(i));
  return {};
}

// What the call alone tells.
Status takes(const AttentionArgs& a, const AttentionParams& p) {
  if (const std::string word = foreign_word(a, p); !word.empty())
    return no(word + " is given; cuDNN's row has causal, window_left and softmax_scale alone");
  if (a.q.dtype == DType::kF32) return no("q dtype is f32, expected f16 or bf16");
  if (a.out.dtype != a.q.dtype) return no("out dtype is f32, expected that of q");
  for (const auto& [what, dim] : {std::pair{"head_dim", a.q.dim(-1)}, {"v_dim", a.v.dim(-1)}})
    if (dim % kDimStep != 0)
      return no(std::string(what) + " is {}, expected a multiple of " + std::to_string(kDimStep),
                dim);
  for (const auto& [arg, t] : {std::pair{"q", &a.q}, {"k", &a.k}, {"v", &a.v}, {"out", &a.out}}) {
    if (t->num_elements() == 0) return no(std::string(arg) + " is empty");
    if (const Status s = layout(arg, *t); !s) return s;
  }
  if (cuda::is_ragged(a) && a.seq.cu_seqlens_q.dim(0) < 2) return no("batch is 0");
  if (cuda::cudnn_rows(a) == 1)
    return no("q has one row; cuDNN cuts its keys by how many requests there are");
  if (!(*p.softmax_scale > 0) || !std::isfinite(*p.softmax_scale))
    return no("softmax_scale is not above 0");
  const cuda::CudnnKeys keys(a, p);
  if (!keys.every_row_sees_some || keys.begin >= keys.end) return no("a row sees no key");
  return {};
}

std::shared_ptr<const cuda::CudnnPlan> plan_of(const AttentionArgs& a, const AttentionParams& p,
                                               const Device& device) {
  const CudnnKey key = cuda::cudnn_key(a, p, device, device_info(device)->compute_capability);
  if (auto known = cuda::cudnn_known_plan(key)) return known;
  const driver::Current current(device.index);
  if (current.code() != 0) return nullptr;
  const driver::Uncaptured uncaptured;  // plans load kernels
  return cuda::cudnn_plan(key);
}

Status available(const Device& device) {
  if (const Status s = device_available(device); !s) return s;
  if (driver::is_stand_in())
    return {ErrorCode::kUnsupported, "cuDNN runs on NVIDIA devices, not in host execution", 0};
  if (const std::string& why = cuda::cudnn_missing(); !why.empty())
    return refused(ErrorCode::kUnsupported, why);
  const int32_t capability = device_info(device)->compute_capability;
  if (validated(capability) == nullptr)
    return {ErrorCode::kUnsupported,
            "compute capability is {} tenths, expected one of 8.0, 9.0 and 10.0's generation",
            capability};
  return {};
}

Status supports(const AttentionArgs& a, const AttentionParams& p, const Device& device) {
  if (const Status s = takes(a, p); !s) return s;
  if (const Status s = available(device); !s) return s;
  const int64_t most = validated(device_info(device)->compute_capability)->largest_dim;
  if (const int64_t dim = std::max(a.q.dim(-1), a.v.dim(-1)); dim > most)
    return no("head_dim is {}, expected at most " + std::to_string(most) + " on " +
                  device_info(device)->name,
              dim);
  const auto plan = plan_of(a, p, device);
  if (plan == nullptr) return {ErrorCode::kDeviceError, "the device cannot be made current", 0};
  return plan->fault().empty() ? Status{} : refused(ErrorCode::kUnsupported, plan->fault());
}

uint64_t aligned(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

// cuDNN's, and behind it what a ragged call wants.
uint64_t scratch_bytes(const cuda::CudnnPlan& plan, const AttentionArgs& a) {
  if (!cuda::is_ragged(a)) return plan.workspace_bytes();
  return aligned(plan.workspace_bytes()) + cuda::RaggedSpace(a).bytes;
}

uint64_t workspace_bytes(const AttentionArgs& a, const AttentionParams& p, int32_t) {
  const auto plan = plan_of(a, p, a.q.device);
  return plan == nullptr ? 0 : scratch_bytes(*plan, a);
}

Status execute(const cuda::CudnnPlan& plan, const cuda::CudnnTensors& tensors, void* workspace,
               const ExecContext& context) {
  const driver::Current current(context.device.index);
  const std::string why = plan.run(tensors, workspace, context.stream);
  return why.empty() ? Status{} : refused(ErrorCode::kDeviceError, why);
}

Status run_ragged(const cuda::CudnnPlan& plan, const AttentionArgs& a, const AttentionParams& p,
                  const ExecContext& context, std::byte* workspace) {
  const IndexCheck check(a, p, context);
  if (!check.status()) return check.status();
  const RaggedCall call =
      cuda::ragged_call(a, p, check.skip(), workspace + aligned(plan.workspace_bytes()));
  const auto blocks = [](int64_t n, int64_t of_a_block) {
    return Index3{static_cast<int>((n + of_a_block - 1) / of_a_block), 1, 1};
  };
  Status s = launch(kRaggedWords, blocks(a.seq.cu_seqlens_q.dim(0), kRaggedWords.threads), 0, call,
                    context);
  if (s) s = execute(plan, cuda::ragged_tensors(call), workspace, context);
  if (s) s = launch(kRaggedFinish, blocks(a.q.dim(0), kRaggedRows), 0, call, context);
  return s;
}

Status run(const AttentionArgs& a, const AttentionParams& p, const ExecContext& context) {
  const auto plan = plan_of(a, p, context.device);
  if (plan == nullptr) return {ErrorCode::kDeviceError, "the device cannot be made current", 0};
  const uint64_t bytes = scratch_bytes(*plan, a);
  const Scratch scratch(context, bytes);
  if (!scratch)
    return {ErrorCode::kOutOfMemory, "{} bytes for cuDNN are not to be had",
            static_cast<int64_t>(bytes)};
  if (cuda::is_ragged(a))
    return run_ragged(*plan, a, p, context, static_cast<std::byte*>(scratch.data()));
  const int64_t size = size_bytes(a.q.dtype), begin = cuda::CudnnKeys(a, p).begin;
  const auto from = [&](const TensorView& t) {
    return static_cast<const std::byte*>(t.data) + begin * t.step(1) * size;
  };
  return execute(*plan, {a.q.data, from(a.k), from(a.v), a.out.data, a.lse.data}, scratch.data(),
                 context);
}

}  // namespace

void add_vendor(Rows& rows) {
  constexpr int32_t kPriority = 100;  // above the tiles, whatever matrix instructions they use
  rows.attention.push_back({OpId::kSdpa, kPluginDevice, row_name(OpId::kSdpa, "cudnn"),
                            "f16 bf16; dense, ragged; causal, window_left; lse; cuDNN 9", kPriority,
                            available, supports, workspace_bytes, run});
}

}  // namespace attend::gpu
