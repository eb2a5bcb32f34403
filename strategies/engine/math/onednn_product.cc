#include "strategies/engine/math/onednn_product.h"

#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "backends/native/onednn.h"

namespace attend::engine {
namespace {

using native::OneDnn;

// More shapes than a server meets; beyond that all are made anew.
constexpr size_t kMostKept = 4096;

// One of oneDNN's objects, given back at the end.
template <class T>
class Held {
 public:
  explicit Held(dnnl_status_t (*destroy)(T)) : destroy_(destroy) {}
  ~Held() {
    if (object_ != nullptr) static_cast<void>(destroy_(object_));
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  T* out() { return &object_; }
  T get() const { return object_; }

 private:
  dnnl_status_t (*destroy_)(T);
  T object_ = nullptr;
};

// The calling thread's stream: oneDNN's calls on it end before they return.
dnnl_stream_t stream_of_thread(const OneDnn& dnn) {
  thread_local Held<dnnl_stream_t> stream(dnn.dnnl_stream_destroy);
  if (stream.get() == nullptr)
    static_cast<void>(dnn.dnnl_stream_create(stream.out(), dnn.engine, dnnl_stream_default_flags));
  return stream.get();
}

class Slice final : public OneDnnSlice {
 public:
  explicit Slice(const OneDnn& dnn)
      : dnn_(dnn),
        x_(dnn.dnnl_memory_desc_destroy),
        weights_(dnn.dnnl_memory_desc_destroy),
        y_(dnn.dnnl_memory_desc_destroy),
        description_(dnn.dnnl_primitive_desc_destroy),
        primitive_(dnn.dnnl_primitive_destroy) {}

  bool make(const SliceShape& s) {
    const bool bf16 = s.dtype == DType::kBF16;
    const dnnl_data_type_t type = bf16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_format_tag_t panels = bf16 ? dnnl_BA16a64b2a : dnnl_BA16a64b;
    const auto describe = [this](Held<dnnl_memory_desc_t>& to, int64_t rows, int64_t columns,
                                 dnnl_data_type_t of, dnnl_format_tag_t layout) {
      const dnnl_dims_t dims = {rows, columns};
      return dnn_.dnnl_memory_desc_create_with_tag(to.out(), 2, dims, of, layout) == dnnl_success;
    };
    if (!describe(x_, s.rows, s.in, type, dnnl_ab) ||
        !describe(weights_, s.in, s.columns, type, panels) ||
        !describe(y_, s.rows, s.columns, dnnl_f32, dnnl_ab))
      return false;
    Held<dnnl_primitive_attr_t> attributes(dnn_.dnnl_primitive_attr_destroy);
    if (dnn_.dnnl_primitive_attr_create(attributes.out()) != dnnl_success ||
        dnn_.dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user) !=
            dnnl_success)
      return false;
    const native::OnThisThread only(dnn_);  // the number of threads is asked for here, too
    if (dnn_.dnnl_matmul_primitive_desc_create(description_.out(), dnn_.engine, x_.get(),
                                               weights_.get(), nullptr, y_.get(),
                                               attributes.get()) != dnnl_success)
      return false;
    // Its reference and its generic kernels are slower than the own ones.
    const char* kernel = "";
    if (dnn_.dnnl_primitive_desc_query(description_.get(), dnnl_query_impl_info_str, 0,
                                       static_cast<void*>(&kernel)) != dnnl_success ||
        !std::string_view(kernel).starts_with("brg"))
      return false;
    scratch_ = dnn_.dnnl_primitive_desc_query_md(description_.get(), dnnl_query_scratchpad_md, 0);
    scratch_bytes_ = dnn_.dnnl_memory_desc_get_size(scratch_);
    return dnn_.dnnl_primitive_create(primitive_.out(), description_.get()) == dnnl_success;
  }

  bool run(const void* x, const float* weights, float* y) const override {
    const native::OnThisThread only(dnn_);
    thread_local std::vector<char> scratch;
    constexpr size_t kAlignment = 64;
    if (scratch.size() < scratch_bytes_ + kAlignment) scratch.resize(scratch_bytes_ + kAlignment);
    const auto at = reinterpret_cast<uintptr_t>(scratch.data());
    void* const aligned = scratch.data() + (kAlignment - at % kAlignment) % kAlignment;

    const struct {
      int what;
      const_dnnl_memory_desc_t as;
      const void* data;
    } all[] = {{DNNL_ARG_SRC, x_.get(), x},
               {DNNL_ARG_WEIGHTS, weights_.get(), weights},
               {DNNL_ARG_DST, y_.get(), y},
               {DNNL_ARG_SCRATCHPAD, scratch_, aligned}};
    dnnl_exec_arg_t args[4] = {};
    int count = 0;
    dnnl_status_t status = dnnl_success;
    for (const auto& [what, as, data] : all) {
      if (status != dnnl_success) break;
      args[count].arg = what;
      status =
          dnn_.dnnl_memory_create(&args[count].memory, as, dnn_.engine, const_cast<void*>(data));
      if (status == dnnl_success) ++count;
    }
    const dnnl_stream_t stream = stream_of_thread(dnn_);
    if (status == dnnl_success)
      status = dnn_.dnnl_primitive_execute(primitive_.get(), stream, count, args);
    if (status == dnnl_success) status = dnn_.dnnl_stream_wait(stream);
    for (int i = 0; i < count; ++i) static_cast<void>(dnn_.dnnl_memory_destroy(args[i].memory));
    return status == dnnl_success;
  }

 private:
  const OneDnn& dnn_;
  Held<dnnl_memory_desc_t> x_, weights_, y_;
  Held<dnnl_primitive_desc_t> description_;
  Held<dnnl_primitive_t> primitive_;
  const_dnnl_memory_desc_t scratch_ = nullptr;  // the description's own
  size_t scratch_bytes_ = 0;
};

}  // namespace

std::shared_ptr<const OneDnnSlice> OneDnnSlice::find(const SliceShape& shape) {
  static std::mutex mutex;
  static auto& kept = *new std::map<SliceShape, std::shared_ptr<const OneDnnSlice>>;
  const OneDnn& dnn = OneDnn::get();
  if (!dnn.status || dnn.own_threads) return nullptr;
  const std::lock_guard lock(mutex);
  if (const auto found = kept.find(shape); found != kept.end()) return found->second;
  if (kept.size() >= kMostKept) kept.clear();
  auto slice = std::make_shared<Slice>(dnn);
  const bool made = slice->make(shape);
  return kept[shape] = made ? std::move(slice) : nullptr;
}

}  // namespace attend::engine
