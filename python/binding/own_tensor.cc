#include "own_tensor.h"

#include <dlpack/dlpack.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <string>
#include <utility>

#include "attend/dlpack.h"
#include "output.h"

namespace attend::python {
namespace {

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

}  // namespace

OwnTensor make_own(const std::vector<int64_t>& shape, DType dtype, Device device,
                   std::optional<float> fill) {
  Tensor tensor = Tensor::empty(dtype, shape, fill ? Device{} : device);
  if (fill) {
    if (dtype == DType::kF32)
      std::fill_n(tensor.data<float>(), tensor.view().num_elements(), *fill);
    else  // 16 bits: only ever filled with 0
      std::fill_n(tensor.data<uint16_t>(), tensor.view().num_elements(), uint16_t{0});
    if (device.type != DeviceType::kNative) tensor = tensor.to(device);
  }
  return {std::make_shared<Tensor>(std::move(tensor))};
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF16: return "float16";
    case DType::kBF16: return "bfloat16";
    default: return "float32";
  }
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
