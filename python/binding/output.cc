#include "output.h"

#include <dlpack/dlpack.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "attend/dlpack.h"
#include "attend/error.h"

namespace attend::python {
namespace {

using Shape = std::vector<int64_t>;

// One array to be written: its place in the call, what it is filled with if rows may stay
// untouched.
struct Wanted {
  const char* arg;
  TensorView* view;
  nb::object* object;
  Shape shape;
  DType dtype;
  float fill;
};

// Element i of an index vector that the operator's checks have not seen yet; false where it cannot
// be read.
bool read_index(const TensorView& t, int64_t i, int64_t& value) {
  if (t.rank != 1 || i >= t.dim(0) || t.device.type != DeviceType::kNative) return false;
  if (t.dtype == DType::kI32)
    value = static_cast<const int32_t*>(t.data)[i * t.step(0)];
  else if (t.dtype == DType::kI64)
    value = static_cast<const int64_t*>(t.data)[i * t.step(0)];
  else
    return false;
  return true;
}

// The longest sequence: the bound that the caller gave, or what cu_seqlens says. -1 where that is
// not a list of lengths within `total`, which the operator refuses in its own words.
int64_t longest_of(const TensorView& cu, int64_t bound, int64_t total) {
  if (bound > 0) return bound;
  int64_t longest = 0, before = 0;
  for (int64_t b = 0, here = 0; read_index(cu, b, here); before = here, ++b) {
    if (here < before || here > total) return -1;
    longest = std::max(longest, here - before);
  }
  return longest;
}

// [batch, heads, seqlen_q, seqlen_k], empty where q and k have no such shape.
Shape weights_shape(const AttentionArgs& a) {
  const SeqLayout& s = a.seq;
  if (!s.cu_seqlens_q) {
    if (a.q.rank != 4 || a.k.rank != 4) return {};
    return {a.q.dim(0), a.q.dim(2), a.q.dim(1), a.k.dim(1)};
  }
  if (a.q.rank != 3 || a.k.rank != 3 || s.cu_seqlens_q.rank != 1 || s.cu_seqlens_q.dim(0) < 1)
    return {};
  const int64_t longest_q = longest_of(s.cu_seqlens_q, s.max_seqlen_q, a.q.dim(0));
  const int64_t longest_k = longest_of(s.cu_seqlens_k, s.max_seqlen_k, a.k.dim(0));
  if (longest_q < 0 || longest_k < 0) return {};
  return {s.cu_seqlens_q.dim(0) - 1, a.q.dim(1), longest_q, longest_k};
}

// A shape that cannot be known here is left to the operator, which then says what is wrong with q,
// k or v.
template <class F>
void for_each_wanted(Call& call, Outputs* to, F&& f) {
  AttentionArgs& a = call.args;
  nb::object nowhere;
  const auto want = [&](const char* arg, TensorView& view, nb::object Outputs::*object, Shape shape,
                        DType dtype, float fill) {
    f(Wanted{arg, &view, to != nullptr ? &(to->*object) : &nowhere, std::move(shape), dtype, fill});
  };
  if (!call.out.is_valid()) {
    Shape shape(a.q.shape.begin(), a.q.shape.begin() + a.q.rank);
    if (!shape.empty() && a.v.rank > 0) shape.back() = a.v.dim(-1);
    want("out", a.out, &Outputs::out, std::move(shape), call.out_dtype.value_or(a.q.dtype), 0.0f);
  }
  if (call.return_lse && a.q.rank == 4 && !a.seq.cu_seqlens_q)
    want("lse", a.lse, &Outputs::lse, {a.q.dim(0), a.q.dim(2), a.q.dim(1)}, DType::kF32, -INFINITY);
  if (call.return_lse && a.q.rank == 3 && a.seq.cu_seqlens_q)
    want("lse", a.lse, &Outputs::lse, {a.q.dim(1), a.q.dim(0)}, DType::kF32, -INFINITY);
  const Shape scores = call.return_weights || call.return_scores ? weights_shape(a) : Shape{};
  if (call.return_weights && !scores.empty())
    want("weights", a.weights, &Outputs::weights, scores, call.weights_dtype.value_or(DType::kF32),
         0.0f);
  if (call.return_scores && !scores.empty())
    want("scores", a.scores, &Outputs::scores, scores, DType::kF32, -INFINITY);
}

// attend.Tensor: memory of the library's own, for callers whose arrays cannot be made from here.
struct OwnTensor {
  std::shared_ptr<Tensor> tensor;
  const TensorView& view() const { return tensor->view(); }
};

OwnTensor make_own(const Shape& shape, DType dtype, Device device, const float* fill) {
  Tensor tensor = Tensor::empty(dtype, shape, fill != nullptr ? Device{} : device);
  if (fill != nullptr) {
    if (dtype == DType::kF32)
      std::fill_n(tensor.data<float>(), tensor.view().num_elements(), *fill);
    else  // 16 bits: only ever filled with 0
      std::fill_n(tensor.data<uint16_t>(), tensor.view().num_elements(), uint16_t{0});
    if (device.type != DeviceType::kNative) tensor = tensor.to(device);
  }
  return {std::make_shared<Tensor>(std::move(tensor))};
}

// A view that shares the tensor's life, as DLPack's old capsule; an unconsumed one cleans up after
// itself.
nb::object own_to_dlpack(const OwnTensor& self, const nb::kwargs& words) {
  if (words.contains("copy") && nb::handle(words["copy"]).ptr() == Py_True)
    throw nb::buffer_error(
        "__dlpack__: copy is True, expected None or False; copy what from_dlpack gives");
  auto* shared = new std::shared_ptr<Tensor>(self.tensor);
  DLManagedTensor* managed = to_dlpack(Tensor::adopt(self.view(), shared, [](void* context) {
    delete static_cast<std::shared_ptr<Tensor>*>(context);
  }));
  return nb::steal(PyCapsule_New(managed, "dltensor", [](PyObject* capsule) {
    if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
    auto* unused = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
    unused->deleter(unused);
  }));
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF16: return "float16";
    case DType::kBF16: return "bfloat16";
    default: return "float32";
  }
}

}  // namespace

Outputs::Outputs(Call& call) : out(call.out) {
  const bool rows_stay = call.args.seq.cu_seqlens_q || call.args.seq.seqused_q;
  const nb::object make = nb::module_::import_("attend._kinds").attr("make");
  for_each_wanted(call, this, [&](const Wanted& w) {
    nb::list shape;
    for (int64_t n : w.shape) shape.append(n);
    *w.object = make(call.q, nb::tuple(shape), dtype_name(w.dtype),
                     rows_stay ? nb::cast(w.fill) : nb::none());
    if (w.object->is_none()) {
      OwnTensor own = make_own(w.shape, w.dtype, call.args.q.device, rows_stay ? &w.fill : nullptr);
      *w.view = own.view();
      *w.object = nb::cast(std::move(own));
    } else {
      *w.view = call.tensors.output(w.arg, *w.object);
    }
  });
}

PlaceholderOutputs::PlaceholderOutputs(Call& call) {
  constexpr size_t kLine = 64;  // each output starts on a line of its own
  std::array<std::pair<TensorView*, size_t>, 4> placed;
  size_t n = 0;
  for_each_wanted(call, nullptr, [&](const Wanted& w) {
    *w.view = contiguous(nullptr, w.dtype, w.shape, call.args.q.device);
    size_t bytes = static_cast<size_t>(size_bytes(w.dtype)), rounded = 0, total = 0;
    bool overflow = false;
    for (int64_t dim : w.shape)
      overflow |= __builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes);
    overflow |= __builtin_add_overflow(bytes, kLine, &rounded);
    rounded = rounded / kLine * kLine;
    if (overflow || __builtin_add_overflow(bytes_, rounded, &total))
      throw Error(ErrorCode::kOutOfMemory,
                  call.tensors.where() + ": " + w.arg + " has more bytes than memory can hold");
    placed[n++] = {w.view, bytes_};
    bytes_ = total;
  });
  if (bytes_ == 0) return;
  // Addresses alone: no page of it can be touched, so it costs nothing and meets no other tensor.
  void* const base =
      mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    throw Error(ErrorCode::kOutOfMemory, call.tensors.where() + ": " + std::to_string(bytes_) +
                                             " bytes of outputs are not to be had");
  base_ = base;
  for (size_t i = 0; i < n; ++i)
    placed[i].first->data = static_cast<std::byte*>(base_) + placed[i].second;
}

PlaceholderOutputs::~PlaceholderOutputs() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

void bind_tensor(nb::module_& m) {
  nb::class_<OwnTensor>(m, "Tensor",
                        "A result in memory of attend's own, for callers whose q is neither "
                        "NumPy's nor PyTorch's and whose\n"
                        "library has no from_dlpack. Row-major; hand it on with from_dlpack.")
      .def("__dlpack__", &own_to_dlpack)
      .def("__dlpack_device__",
           [](const OwnTensor& self) {
             return std::make_pair(static_cast<int>(self.view().device.type),
                                   int{self.view().device.index});
           })
      .def_prop_ro("shape",
                   [](const OwnTensor& self) {
                     nb::list shape;
                     for (int i = 0; i < self.view().rank; ++i) shape.append(self.view().dim(i));
                     return nb::tuple(shape);
                   })
      .def_prop_ro("dtype", [](const OwnTensor& self) { return dtype_name(self.view().dtype); })
      .def_prop_ro("device", [](const OwnTensor& self) { return to_string(self.view().device); })
      .def("__repr__",
           [](const OwnTensor& self) { return "attend.Tensor(" + to_string(self.view()) + ")"; });
}

}  // namespace attend::python
