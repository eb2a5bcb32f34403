#include "backends/native/onednn_plan.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <initializer_list>
#include <map>
#include <mutex>
#include <new>

namespace attend::native {
namespace {

constexpr uint64_t kAlignment = 64;

dnnl_data_type_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kF16: return dnnl_f16;
    case DType::kBF16: return dnnl_bf16;
    default: return dnnl_f32;
  }
}

uint64_t bytes_of(const dnnl_graph_logical_tensor_t& t) {
  uint64_t n = t.data_type == dnnl_f32 ? 4 : 2;
  for (int i = 0; i < t.ndims; ++i) n *= static_cast<uint64_t>(t.dims[i]);
  return (n + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

// A graph while it is put together. The first error stays; what follows it does nothing.
class Plan::Graph {
 public:
  explicit Graph(const OneDnn& dnn) : dnn_(dnn) {
    // Strict whatever ONEDNN_DEFAULT_FPMATH_MODE says: f32 is never multiplied as less.
    status_ =
        dnn_.dnnl_graph_graph_create_with_fpmath_mode(&graph_, dnnl_cpu, dnnl_fpmath_mode_strict);
  }
  ~Graph() {
    for (dnnl_graph_partition_t p : partitions_) dnn_.dnnl_graph_partition_destroy(p);
    for (dnnl_graph_op_t op : ops_) dnn_.dnnl_graph_op_destroy(op);
    if (graph_ != nullptr) dnn_.dnnl_graph_graph_destroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // A tensor [heads, rows, dim]; elements of a row are adjacent.
  dnnl_graph_logical_tensor_t tensor(Id id, dnnl_data_type_t type, int64_t heads, int64_t rows,
                                     int64_t dim, int64_t head_stride, int64_t row_stride) {
    const dnnl_dims_t dims = {heads, rows, dim};
    // A dimension of size 1 may have any stride; oneDNN wants one that makes sense.
    if (rows == 1) row_stride = heads == 1 ? dim : std::min(dim, head_stride);
    if (heads == 1) head_stride = rows * row_stride;
    const dnnl_dims_t strides = {head_stride, row_stride, 1};
    dnnl_graph_logical_tensor_t t{};
    keep(dnn_.dnnl_graph_logical_tensor_init_with_strides(&t, id, type, 3, dims, strides,
                                                          dnnl_graph_tensor_property_variable));
    return t;
  }
  dnnl_graph_logical_tensor_t dense(Id id, dnnl_data_type_t type, int64_t heads, int64_t rows,
                                    int64_t dim) {
    return tensor(id, type, heads, rows, dim, rows * dim, dim);
  }

  enum class With : uint8_t { kNothing, kTransposedB, kLastAxis };
  void add(dnnl_graph_op_kind_t kind, std::initializer_list<dnnl_graph_logical_tensor_t> in,
           const dnnl_graph_logical_tensor_t& out, With with = With::kNothing) {
    if (status_ != dnnl_success) return;
    dnnl_graph_op_t op = nullptr;
    keep(dnn_.dnnl_graph_op_create(&op, ops_.size(), kind, "attend"));
    if (op == nullptr) return;
    ops_.push_back(op);
    for (const auto& t : in) keep(dnn_.dnnl_graph_op_add_input(op, &t));
    keep(dnn_.dnnl_graph_op_add_output(op, &out));
    const uint8_t yes = 1;
    const int64_t last = -1;
    if (with == With::kTransposedB)
      keep(dnn_.dnnl_graph_op_set_attr_bool(op, dnnl_graph_op_attr_transpose_b, &yes, 1));
    if (with == With::kLastAxis)
      keep(dnn_.dnnl_graph_op_set_attr_s64(op, dnnl_graph_op_attr_axis, &last, 1));
    keep(dnn_.dnnl_graph_add_op(graph_, op));
  }

  // Compiles the graph's partitions and appends them, each after those that it reads from.
  dnnl_status_t compile_into(std::vector<Part>& parts) {
    if (status_ != dnnl_success) return status_;
    keep(dnn_.dnnl_graph_graph_finalize(graph_));
    keep(dnn_.dnnl_graph_graph_filter(graph_, dnnl_graph_partition_policy_fusion));
    size_t count = 0;
    keep(dnn_.dnnl_graph_graph_get_partition_num(graph_, &count));
    if (status_ != dnnl_success) return status_;
    partitions_.resize(count);
    keep(dnn_.dnnl_graph_graph_get_partitions(graph_, count, partitions_.data()));
    std::vector<Part> found;
    for (dnnl_graph_partition_t p : partitions_) found.push_back(ports_of(p));
    std::vector<bool> placed(count, false);
    for (size_t n = 0; n < count && status_ == dnnl_success; ++n) {
      size_t next = 0;
      while (next < count && (placed[next] || waits(next, found, placed))) ++next;
      if (next == count) return dnnl_invalid_graph;
      placed[next] = true;
      parts.push_back(found[next]);
      compile(partitions_[next], parts.back());
    }
    return status_;
  }

 private:
  void keep(dnnl_status_t s) {
    if (status_ == dnnl_success) status_ = s;
  }

  Part ports_of(dnnl_graph_partition_t p) {
    Part part;
    uint8_t supported = 0;
    keep(dnn_.dnnl_graph_partition_is_supported(p, &supported));
    if (supported == 0) keep(dnnl_unimplemented);
    size_t n = 0;
    keep(dnn_.dnnl_graph_partition_get_input_ports_num(p, &n));
    part.in.resize(n);
    keep(dnn_.dnnl_graph_partition_get_input_ports(p, n, part.in.data()));
    n = 0;
    keep(dnn_.dnnl_graph_partition_get_output_ports_num(p, &n));
    part.out.resize(n);
    keep(dnn_.dnnl_graph_partition_get_output_ports(p, n, part.out.data()));
    if (part.in.size() > kIds || part.out.size() > kIds) keep(dnnl_invalid_graph);
    return part;
  }

  // Whether a partition reads what one that has no place yet writes.
  static bool waits(size_t n, const std::vector<Part>& found, const std::vector<bool>& placed) {
    for (const auto& in : found[n].in)
      for (size_t other = 0; other < found.size(); ++other)
        for (const auto& out : found[other].out)
          if (!placed[other] && out.id == in.id) return true;
    return false;
  }

  void compile(dnnl_graph_partition_t p, Part& part) {
    std::array<const dnnl_graph_logical_tensor_t*, kIds> in{}, out{};
    for (size_t n = 0; n < part.in.size(); ++n) in[n] = &part.in[n];
    for (size_t n = 0; n < part.out.size(); ++n) out[n] = &part.out[n];
    keep(dnn_.dnnl_graph_compiled_partition_create(&part.compiled, p));
    if (status_ == dnnl_success)
      keep(dnn_.dnnl_graph_partition_compile(p, part.compiled, part.in.size(), in.data(),
                                             part.out.size(), out.data(), dnn_.engine));
  }

  const OneDnn& dnn_;
  dnnl_graph_graph_t graph_ = nullptr;
  std::vector<dnnl_graph_op_t> ops_;
  std::vector<dnnl_graph_partition_t> partitions_;
  dnnl_status_t status_ = dnnl_success;
};

// oneDNN's C functions throw C++ exceptions where a primitive is not implemented (3.2: partition
// compilation), in place of their status.
dnnl_status_t Plan::try_build(bool cast_first) {
  try {
    return build(cast_first);
  } catch (const std::bad_alloc&) {
    return dnnl_out_of_memory;
  } catch (...) {
    return dnnl_unimplemented;
  }
}

dnnl_status_t Plan::build(bool cast_first) {
  using With = Graph::With;
  const PlanKey& c = key_;
  const dnnl_data_type_t type = type_of(c.dtype);
  Graph whole(dnn_), second(dnn_);
  Graph& late = c.cut ? second : whole;

  auto q = whole.tensor(kQ, type, c.heads, c.rows, c.head_dim, c.q_head, c.q_row);
  auto k = whole.tensor(kK, type, 1, c.keys, c.head_dim, 0, c.k_row);
  if (cast_first) {
    const auto q32 = whole.dense(kQ32, dnnl_f32, c.heads, c.rows, c.head_dim);
    const auto k32 = whole.dense(kK32, dnnl_f32, 1, c.keys, c.head_dim);
    whole.add(dnnl_graph_op_type_cast, {q}, q32);
    whole.add(dnnl_graph_op_type_cast, {k}, k32);
    q = q32;
    k = k32;
  }
  const auto dots = whole.dense(kDots, dnnl_f32, c.heads, c.rows, c.keys);
  const auto scores = whole.dense(kScores, dnnl_f32, c.heads, c.rows, c.keys);
  whole.add(dnnl_graph_op_matmul, {q, k}, dots, With::kTransposedB);
  whole.add(dnnl_graph_op_multiply, {dots, whole.dense(kScale, dnnl_f32, 1, 1, 1)}, scores);

  auto weights = late.dense(kWeights, dnnl_f32, c.heads, c.rows, c.keys);
  late.add(dnnl_graph_op_softmax, {scores}, weights, With::kLastAxis);
  if (type != dnnl_f32) {
    const auto rounded = late.dense(kRounded, type, c.heads, c.rows, c.keys);
    late.add(dnnl_graph_op_type_cast, {weights}, rounded);
    weights = rounded;
  }
  const auto v = late.tensor(kV, type, 1, c.keys, c.v_dim, 0, c.v_row);
  const auto out = late.tensor(kOut, type, c.heads, c.rows, c.v_dim, c.out_head, c.out_row);
  late.add(dnnl_graph_op_matmul, {weights, v}, out);

  if (const dnnl_status_t s = whole.compile_into(parts_); s != dnnl_success || !c.cut) return s;
  cut_ = parts_.size();
  return second.compile_into(parts_);
}

// Each tensor between two parts gets the lowest place whose last reader comes before its writer.
void Plan::lay_out_scratch() {
  struct Place {
    uint64_t bytes = 0;
    size_t busy_until = 0;
    std::vector<size_t> ids;
  };
  std::vector<Place> places;
  for (size_t n = 0; n < parts_.size(); ++n) {
    for (const auto& t : parts_[n].out) {
      if (t.id == kOut) continue;
      size_t last = n;
      for (size_t reader = n; reader < parts_.size(); ++reader)
        for (const auto& in : parts_[reader].in)
          if (in.id == t.id) last = reader;
      auto place = std::find_if(places.begin(), places.end(),
                                [&](const Place& p) { return p.busy_until < n; });
      if (place == places.end()) place = places.insert(place, Place{});
      place->bytes = std::max(place->bytes, bytes_of(t));
      place->busy_until = last;
      place->ids.push_back(t.id);
    }
  }
  for (const Place& place : places) {
    for (size_t id : place.ids) offset_[id] = scratch_bytes_;
    scratch_bytes_ += place.bytes;
  }
}

Plan::Plan(const OneDnn& dnn, const PlanKey& key) : dnn_(dnn), key_(key) {
  const OnThisThread only(dnn);
  dnnl_status_t s = try_build(false);
  if (s != dnnl_success && key.dtype != DType::kF32) {
    clear();
    s = try_build(true);
  }
  if (s == dnnl_success) {
    lay_out_scratch();
    return;
  }
  clear();
  status_ = {
      ErrorCode::kUnsupported,
      key.dtype == DType::kF32 ? "oneDNN compiles no graph of this shape (its status {})"
      : key.dtype == DType::kF16
          ? "q dtype is f16, for which oneDNN compiles no graph on this CPU (its status {})"
          : "q dtype is bf16, for which oneDNN compiles no graph on this CPU (its status {})",
      static_cast<int64_t>(s)};
}

void Plan::clear() {
  for (const Part& part : parts_) dnn_.dnnl_graph_compiled_partition_destroy(part.compiled);
  parts_.clear();
  cut_ = SIZE_MAX;
}

Plan::~Plan() { clear(); }

Plan::Stream::Stream(const OneDnn& d)
    : dnn(d), status(d.dnnl_stream_create(&handle, d.engine, dnnl_stream_default_flags)) {}
Plan::Stream::~Stream() {
  if (handle != nullptr) dnn.dnnl_stream_destroy(handle);
}

dnnl_status_t Plan::run_part(const Part& part, const Data& data, dnnl_stream_t stream) const {
  const auto address = [&](size_t id) -> const void* {
    switch (id) {
      case kQ: return data.q;
      case kK: return data.k;
      case kV: return data.v;
      case kOut: return data.out;
      case kScale: return &data.scale;
      default: return data.scratch + offset_[id];
    }
  };
  std::array<dnnl_graph_tensor_t, kIds> in{}, out{};
  dnnl_status_t s = dnnl_success;
  const auto bind = [&](const std::vector<dnnl_graph_logical_tensor_t>& ports, auto& tensors) {
    for (size_t n = 0; n < ports.size() && s == dnnl_success; ++n)
      s = dnn_.dnnl_graph_tensor_create(&tensors[n], &ports[n], dnn_.engine,
                                        const_cast<void*>(address(ports[n].id)));
  };
  bind(part.in, in);
  bind(part.out, out);
  try {
    if (s == dnnl_success)
      s = dnn_.dnnl_graph_compiled_partition_execute(
          part.compiled, stream, part.in.size(), const_cast<const_dnnl_graph_tensor_t*>(in.data()),
          part.out.size(), const_cast<const_dnnl_graph_tensor_t*>(out.data()));
  } catch (...) {  // see try_build
    s = dnnl_runtime_error;
  }
  for (const auto& tensors : {in, out})
    for (dnnl_graph_tensor_t t : tensors)
      if (t != nullptr) dnn_.dnnl_graph_tensor_destroy(t);
  return s;
}

namespace {

std::atomic<uint64_t> g_compiled{0};

struct PlanCache {
  struct Kept {
    std::shared_ptr<const Plan> plan;
    uint64_t used = 0;
  };
  std::mutex mutex;
  std::map<PlanKey, Kept> plans;
  uint64_t clock = 0;
};

}  // namespace

std::shared_ptr<const Plan> plan_for(const PlanKey& key) {
  static PlanCache& cache = *new PlanCache;  // never destroyed, like the library that its plans use
  const std::lock_guard lock(cache.mutex);
  PlanCache::Kept& kept = cache.plans[key];
  kept.used = ++cache.clock;
  if (kept.plan == nullptr) {
    kept.plan = std::make_shared<const Plan>(OneDnn::get(), key);
    g_compiled.fetch_add(1, std::memory_order_relaxed);
  }
  std::shared_ptr<const Plan> plan = kept.plan;
  if (cache.plans.size() > kMaxPlans)
    cache.plans.erase(std::min_element(
        cache.plans.begin(), cache.plans.end(),
        [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  return plan;
}

uint64_t plans_compiled() { return g_compiled.load(std::memory_order_relaxed); }

}  // namespace attend::native
