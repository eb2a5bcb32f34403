#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "attend/tensor.h"

// cuDNN's attention as plans: graphs of one shape, built once and run often. cudnn_plan.cc is the
// one file that sees cuDNN's headers; without them cudnn_absent.cc says so.
namespace attend::cuda {

// Everything that a graph is built from. Sizes in elements; strides of batch, heads, rows, and 1 of
// the last dimension.
struct CudnnKey {
  struct Strides {
    int64_t batch = 0, head = 0, row = 0;
    friend bool operator==(const Strides&, const Strides&) = default;
  };
  int32_t device = 0;
  int32_t compute_capability = 0;  // 90
  DType dtype = DType::kBF16;      // f16 or bf16
  bool causal = false, bottom_right = false, lse = false;
  int32_t window_left = -1;  // with causal
  float scale = 1.0f;
  int64_t batch = 0, heads = 0, kv_heads = 0, rows = 0, keys = 0, head_dim = 0, v_dim = 0;
  Strides q, k, v, out, lse_at;  // lse_at.row: from row to row
  // Lengths and where sequences begin come in tensors; rows and keys are upper bounds, and lse is
  // rows of all heads, side by side. Strides of batch are not looked at.
  bool ragged = false;
  friend bool operator==(const CudnnKey&, const CudnnKey&) = default;
};

struct CudnnTensors {
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  void *out = nullptr, *lse = nullptr;
  // Ragged, in device memory: i32 [batch] lengths and i64 [batch + 1] offsets in elements.
  const int32_t *rows = nullptr, *keys = nullptr;
  const int64_t *q_at = nullptr, *k_at = nullptr, *v_at = nullptr, *out_at = nullptr,
                *lse_at = nullptr;
};

// Empty, or in words why no plan can be made here: no headers when this was built, no library now.
const std::string& cudnn_missing();

// Empty if cuDNN takes a graph of this shape, as far as can be told without a device; else its
// words.
std::string cudnn_graph_fault(const CudnnKey& key);

class CudnnPlan {
 public:
  virtual ~CudnnPlan() = default;
  const std::string& fault() const { return fault_; }  // empty, or why cuDNN does not take it
  uint64_t workspace_bytes() const { return workspace_bytes_; }
  // Enqueues; empty, or cuDNN's words. Any number of threads at once.
  virtual std::string run(const CudnnTensors& tensors, void* workspace, void* stream) const = 0;

 protected:
  std::string fault_;
  uint64_t workspace_bytes_ = 0;
};

// The plan of a shape, made on first use; the device is current. Plans are kept, the least recently
// made given up first.
std::shared_ptr<const CudnnPlan> cudnn_plan(const CudnnKey& key);
// The plan if it has been made, else null; asks nothing of the device.
std::shared_ptr<const CudnnPlan> cudnn_known_plan(const CudnnKey& key);

}  // namespace attend::cuda
