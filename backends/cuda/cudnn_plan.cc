// Plans over cuDNN's graph interface (cudnn-frontend, headers alone). Nothing is linked: the library
// is opened when the first plan is asked for. This file takes half a minute to compile and is the
// only one that does.
#include "backends/cuda/cudnn_plan.h"

#include <dlfcn.h>

#include <cstdlib>
#include <exception>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <cudnn_frontend.h>

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // what the headers look functions up in
}

namespace attend::cuda {
namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Uid : int64_t { kQ = 1, kK, kV, kOut, kLse, kRows, kKeys, kQAt, kKAt, kVAt, kOutAt, kLseAt };

// Opens libcudnn.so.9, or what ATTEND_CUDNN_LIBRARY names.
std::string open_library() {
  const char* named = std::getenv("ATTEND_CUDNN_LIBRARY");
  const bool chosen = named != nullptr && *named != '\0';
  const char* file = chosen ? named : "libcudnn.so.9";
  fe::cudnn_dlhandle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (fe::cudnn_dlhandle != nullptr) return "";
  const char* why = dlerror();
  return std::string("libcudnn.so.9 is not to be opened: ") + (why != nullptr ? why : file) +
         (chosen ? "; ATTEND_CUDNN_LIBRARY names it" : "; ATTEND_CUDNN_LIBRARY may name it");
}

// One handle serves one thread at a time; making one takes milliseconds and device memory.
class Handles {
 public:
  // The device is current.
  cudnnHandle_t take(int32_t device) {
    {
      const std::lock_guard lock(mutex_);
      auto& free = free_[device];
      if (!free.empty()) {
        cudnnHandle_t handle = free.back();
        free.pop_back();
        return handle;
      }
    }
    cudnnHandle_t handle = nullptr;
    return fe::detail::create_handle(&handle) == CUDNN_STATUS_SUCCESS ? handle : nullptr;
  }
  void give_back(int32_t device, cudnnHandle_t handle) {
    const std::lock_guard lock(mutex_);
    free_[device].push_back(handle);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<int32_t, std::vector<cudnnHandle_t>> free_;
};
Handles& handles() {
  static auto& all = *new Handles;  // outlives every plan
  return all;
}
class Handle {
 public:
  explicit Handle(int32_t device) : device_(device), handle_(handles().take(device)) {}
  ~Handle() {
    if (handle_ != nullptr) handles().give_back(device_, handle_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  cudnnHandle_t get() const { return handle_; }

 private:
  int32_t device_;
  cudnnHandle_t handle_;
};

// Lengths or offsets, one a sequence.
Tensor indices(fe::graph::Graph& graph, const char* name, Uid uid, int64_t n, fe::DataType_t type) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_name(name)
                          .set_uid(uid)
                          .set_dim({n, 1, 1, 1})
                          .set_stride({1, 1, 1, 1})
                          .set_data_type(type));
}
// Null for a dense graph.
Tensor offsets(fe::graph::Graph& graph, const char* name, Uid uid, const CudnnKey& key) {
  return key.ragged ? indices(graph, name, uid, key.batch + 1, fe::DataType_t::INT64) : nullptr;
}

Tensor input(fe::graph::Graph& graph, const char* name, Uid uid, const Tensor& at,
             const CudnnKey& key, int64_t heads, int64_t rows, int64_t dim,
             const CudnnKey::Strides& s) {
  auto words = fe::graph::Tensor_attributes()
                   .set_name(name)
                   .set_uid(uid)
                   .set_dim({key.batch, heads, rows, dim})
                   .set_stride({s.batch, s.head, s.row, 1});
  if (at) words.set_ragged_offset(at);
  return graph.tensor(words);
}

void describe(fe::graph::Graph& graph, const CudnnKey& key) {
  graph.set_io_data_type(key.dtype == DType::kF16 ? fe::DataType_t::HALF : fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT)
      .set_sm_version(key.compute_capability);
  const Tensor q = input(graph, "q", kQ, offsets(graph, "q_at", kQAt, key), key, key.heads,
                         key.rows, key.head_dim, key.q);
  const Tensor k = input(graph, "k", kK, offsets(graph, "k_at", kKAt, key), key, key.kv_heads,
                         key.keys, key.head_dim, key.k);
  const Tensor v = input(graph, "v", kV, offsets(graph, "v_at", kVAt, key), key, key.kv_heads,
                         key.keys, key.v_dim, key.v);
  auto words =
      fe::graph::SDPA_attributes().set_name("sdpa").set_generate_stats(key.lse).set_attn_scale(
          key.scale);
  if (key.ragged)
    words.set_padding_mask(true)
        .set_seq_len_q(indices(graph, "rows", kRows, key.batch, fe::DataType_t::INT32))
        .set_seq_len_kv(indices(graph, "keys", kKeys, key.batch, fe::DataType_t::INT32));
  if (key.causal)
    words
        .set_diagonal_alignment(key.bottom_right ? fe::DiagonalAlignment_t::BOTTOM_RIGHT
                                                 : fe::DiagonalAlignment_t::TOP_LEFT)
        .set_diagonal_band_right_bound(0);
  // cuDNN counts the row's own position, too.
  if (key.window_left >= 0) words.set_diagonal_band_left_bound(key.window_left + 1);
  auto [out, stats] = graph.sdpa(q, k, v, words);
  out->set_output(true)
      .set_uid(kOut)
      .set_dim({key.batch, key.heads, key.rows, key.v_dim})
      .set_stride({key.out.batch, key.out.head, key.out.row, 1});
  if (key.ragged) out->set_ragged_offset(offsets(graph, "out_at", kOutAt, key));
  if (!key.lse) return;
  stats->set_output(true)
      .set_uid(kLse)
      .set_data_type(fe::DataType_t::FLOAT)
      .set_dim({key.batch, key.heads, key.rows, 1})
      .set_stride({key.lse_at.batch, key.lse_at.head, key.lse_at.row, 1});
  if (key.ragged) stats->set_ragged_offset(offsets(graph, "lse_at", kLseAt, key));
}

// cuDNN's answers and its headers' exceptions, in words.
template <class F>
std::string asked(F&& ask) {
  try {
    fe::error_t answer = ask();
    return answer.is_good() ? "" : "cuDNN says: " + answer.get_message();
  } catch (const std::exception& e) {
    return std::string("cuDNN says: ") + e.what();
  }
}

class Plan : public CudnnPlan {
 public:
  explicit Plan(const CudnnKey& key) : key_(key) {
    const Handle handle(key.device);
    if (handle.get() == nullptr) {
      fault_ = "cudnnCreate failed";
      return;
    }
    fault_ = asked([&] {
      describe(graph_, key);
      fe::error_t e = graph_.validate();
      if (e.is_good()) e = graph_.build_operation_graph(handle.get());
      if (e.is_good()) e = graph_.create_execution_plans({fe::HeurMode_t::A});
      if (e.is_good()) e = graph_.check_support();
      if (e.is_good()) e = graph_.build_plans();
      int64_t bytes = 0;
      if (e.is_good()) e = graph_.get_workspace_size(bytes);
      workspace_bytes_ = static_cast<uint64_t>(bytes);
      return e;
    });
  }

  std::string run(const CudnnTensors& t, void* workspace, void* stream) const override {
    const Handle handle(key_.device);
    if (handle.get() == nullptr) return "cudnnCreate failed";
    return asked([&]() -> fe::error_t {
      if (fe::detail::set_stream(handle.get(), static_cast<cudaStream_t>(stream)) !=
          CUDNN_STATUS_SUCCESS)
        return {fe::error_code_t::HANDLE_ERROR, "cudnnSetStream failed"};
      std::unordered_map<int64_t, void*> pack = {{kQ, const_cast<void*>(t.q)},
                                                 {kK, const_cast<void*>(t.k)},
                                                 {kV, const_cast<void*>(t.v)},
                                                 {kOut, t.out}};
      if (key_.lse) pack.emplace(kLse, t.lse);
      if (key_.ragged) {
        const std::pair<Uid, const void*> words[] = {{kRows, t.rows}, {kKeys, t.keys},
                                                     {kQAt, t.q_at},  {kKAt, t.k_at},
                                                     {kVAt, t.v_at},  {kOutAt, t.out_at}};
        for (const auto& [uid, data] : words) pack.emplace(uid, const_cast<void*>(data));
        if (key_.lse) pack.emplace(kLseAt, const_cast<int64_t*>(t.lse_at));
      }
      return graph_.execute(handle.get(), pack, workspace);
    });
  }

 private:
  CudnnKey key_;
  mutable fe::graph::Graph graph_;  // execute() is const in what it does
};

struct Hash {
  size_t operator()(const CudnnKey& key) const {
    uint64_t hash = 0;
    for (const int64_t n : {int64_t{key.device}, key.batch, key.heads, key.kv_heads, key.rows,
                            key.keys, key.head_dim, key.v_dim, key.q.row, key.k.row, key.v.row,
                            key.out.row, int64_t{key.window_left}, int64_t{key.ragged}})
      hash = (hash ^ static_cast<uint64_t>(n)) * 0x9E3779B97F4A7C15ull;
    return hash;
  }
};

// The plans of the process, oldest first.
class Plans {
 public:
  std::shared_ptr<const CudnnPlan> find(const CudnnKey& key) {
    const std::lock_guard lock(mutex_);
    const auto known = plans_.find(key);
    return known == plans_.end() ? nullptr : known->second;
  }
  std::shared_ptr<const CudnnPlan> make(const CudnnKey& key) {
    const std::lock_guard one_at_a_time(making_);
    if (auto known = find(key)) return known;
    auto plan = std::make_shared<const Plan>(key);
    const std::lock_guard lock(mutex_);
    plans_.emplace(key, plan);
    order_.push_back(key);
    if (order_.size() > kMost) {
      plans_.erase(order_.front());
      order_.pop_front();
    }
    return plan;
  }

 private:
  static constexpr size_t kMost = 256;  // a plan holds some hundred kilobytes
  std::mutex making_, mutex_;
  std::unordered_map<CudnnKey, std::shared_ptr<const CudnnPlan>, Hash> plans_;
  std::list<CudnnKey> order_;
};
Plans& plans() {
  static auto& all = *new Plans;  // cuDNN may be gone before statics are
  return all;
}

}  // namespace

const std::string& cudnn_missing() {
  static const std::string why = open_library();
  return why;
}

std::string cudnn_graph_fault(const CudnnKey& key) {
  if (const std::string& why = cudnn_missing(); !why.empty()) return why;
  return asked([&] {
    fe::graph::Graph graph;
    describe(graph, key);
    fe::error_t e = graph.validate();
    return e.is_good() ? graph.build_operation_graph(nullptr) : e;
  });
}

std::shared_ptr<const CudnnPlan> cudnn_plan(const CudnnKey& key) { return plans().make(key); }
std::shared_ptr<const CudnnPlan> cudnn_known_plan(const CudnnKey& key) { return plans().find(key); }

}  // namespace attend::cuda
