#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "attend/export.h"
#include "attend/tensor.h"
#include "backends/native/onednn.h"

// A graph of oneDNN's that computes one task of sdpa/native/onednn: the query heads of one kv head,
// some rows, all keys that they need.
//
//   scores = q k^T * scale;  weights = softmax(scores);  out = weights v
//
// Scores are f32 whatever the inputs are; 16-bit weights are rounded once, as contract 8's baseline
// does. Newer versions return the whole of it as one partition, 3.2 as three or more, which run in
// order with scratch between. Where oneDNN's schema wants scores in the inputs' 16-bit type (3.2),
// q and k are cast to f32 first, which costs time and no accuracy.
namespace attend::native {

// What a compiled graph depends on. Strides in elements; elements of a row are adjacent.
struct PlanKey {
  DType dtype = DType::kF32;
  // The graph is cut in two at the scores, so that the caller may change them in between: oneDNN
  // selects on a CPU 20 times slower than it multiplies, or not at all.
  bool cut = false;
  int64_t heads = 1, rows = 1, keys = 1, head_dim = 1, v_dim = 1;
  int64_t q_head = 0, q_row = 0, k_row = 0, v_row = 0, out_head = 0, out_row = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 means the comparison with 0 inside it
  friend auto operator<=>(const PlanKey&, const PlanKey&) = default;
};

class Plan {
 public:
  // Tensors of the graph, by which partitions are joined. Scores are [heads, rows, keys].
  enum Id : size_t {
    kQ,
    kK,
    kV,
    kOut,
    kScale,
    kQ32,
    kK32,
    kDots,
    kScores,
    kWeights,
    kRounded,
    kIds
  };

  Plan(const OneDnn& dnn, const PlanKey& key);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // kOk, or why oneDNN does not take it.
  const Status& status() const { return status_; }
  uint64_t scratch_bytes() const { return scratch_bytes_; }

  // Data of one task; `scratch` is 64-byte aligned.
  struct Data {
    const std::byte *q = nullptr, *k = nullptr, *v = nullptr;
    std::byte *out = nullptr, *scratch = nullptr;
    float scale = 1.0f;
  };
  // Runs the graph on this thread. Between the halves of a cut one at_scores(scores) is called.
  // Returns oneDNN's status.
  template <class F>
  dnnl_status_t run(const Data& data, F&& at_scores) const {
    Stream stream(dnn_);
    if (stream.status != dnnl_success) return stream.status;
    for (size_t n = 0; n < parts_.size(); ++n) {
      if (n == cut_) {
        if (const dnnl_status_t s = dnn_.dnnl_stream_wait(stream.handle); s != dnnl_success)
          return s;
        at_scores(reinterpret_cast<float*>(data.scratch + offset_[kScores]));
      }
      if (const dnnl_status_t s = run_part(parts_[n], data, stream.handle); s != dnnl_success)
        return s;
    }
    return dnn_.dnnl_stream_wait(stream.handle);
  }

 private:
  struct Part {
    dnnl_graph_compiled_partition_t compiled = nullptr;
    std::vector<dnnl_graph_logical_tensor_t> in, out;
  };
  struct Stream {
    explicit Stream(const OneDnn& dnn);
    ~Stream();
    const OneDnn& dnn;
    dnnl_stream_t handle = nullptr;
    dnnl_status_t status;
  };
  class Graph;

  dnnl_status_t try_build(bool cast_first);
  dnnl_status_t build(bool cast_first);
  void clear();
  void lay_out_scratch();
  dnnl_status_t run_part(const Part& part, const Data& data, dnnl_stream_t stream) const;

  const OneDnn& dnn_;
  const PlanKey key_;
  Status status_;
  std::vector<Part> parts_;
  size_t cut_ = SIZE_MAX;  // the first part of the second half
  uint64_t offset_[kIds] = {};
  uint64_t scratch_bytes_ = 0;
};

// The plan of a key, compiled when it is first asked for and kept; the kMaxPlans that were used last
// stay. Safe for concurrent use. A plan that oneDNN refuses is kept, too.
inline constexpr size_t kMaxPlans = 128;
std::shared_ptr<const Plan> plan_for(const PlanKey& key);

// How many plans this process has compiled; for tests.
ATTEND_API uint64_t plans_compiled();

}  // namespace attend::native
