#include "own_tensor.h"

#include <dlpack/dlpack.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <utility>

#include "array.h"
#include "attend/dlpack.h"
#include "attend/error.h"
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

namespace {

constexpr std::pair<const char*, DType> kDTypes[] = {
    {"float32", DType::kF32},        {"float16", DType::kF16},
    {"bfloat16", DType::kBF16},      {"float8_e4m3fn", DType::kF8E4M3},
    {"float8_e5m2", DType::kF8E5M2}, {"int8", DType::kI8},
    {"int32", DType::kI32},          {"int64", DType::kI64},
    {"bool", DType::kBool}};

DType dtype_named(const char* where, const std::string& spelled) {
  std::string known;
  for (const auto& [text, dtype] : kDTypes) {
    if (spelled == text) return dtype;
    known += (known.empty() ? "" : ", ") + std::string(text);
  }
  throw Error(ErrorCode::kInvalidArgument,
              std::string(where) + ": dtype is '" + spelled + "', expected one of " + known);
}

// "cuda", "cuda:1"
Device device_named(const char* where, const std::string& spelled) {
  const size_t colon = std::min(spelled.find(':'), spelled.size());
  const std::string number = colon < spelled.size() ? spelled.substr(colon + 1) : "0";
  const bool is_number = !number.empty() && number.size() < 5 &&
                         number.find_first_not_of("0123456789") == std::string::npos;
  for (DeviceType type : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm})
    if (is_number && spelled.substr(0, colon) == name(type))
      return {type, static_cast<int16_t>(std::stoi(number))};
  throw Error(
      ErrorCode::kInvalidArgument,
      std::string(where) + ": device is '" + spelled +
          "', expected 'native', 'cuda' or 'rocm', with a number as in 'cuda:1' or without");
}

OwnTensor own(Tensor&& tensor) { return {std::make_shared<Tensor>(std::move(tensor))}; }

OwnTensor empty(const std::vector<int64_t>& shape, const std::string& dtype,
                const std::string& device, bool pinned) {
  const DType type = dtype_named("empty", dtype);
  const Device on = device_named("empty", device);
  return own(pinned ? Tensor::empty_pinned(type, shape, on) : Tensor::empty(type, shape, on));
}

// A copy of any tensor, wherever it is.
OwnTensor copy_to(nb::handle tensor, const std::string& device) {
  const Device on = device_named("to_device", device);
  BorrowedTensors borrowed("to_device");
  const Tensor view = Tensor::adopt(borrowed.input("tensor", tensor), nullptr, nullptr);
  const nb::gil_scoped_release others_may_run;
  return own(view.to(on));
}

nb::bytes bytes_of(const OwnTensor& self) {
  const Tensor here = self.tensor->to(Device{});
  return nb::bytes(here.data<char>(),
                   static_cast<size_t>(here.view().num_elements() * size_bytes(here.view().dtype)));
}

}  // namespace

const char* dtype_name(DType dtype) {
  for (const auto& [text, known] : kDTypes)
    if (dtype == known) return text;
  return "unknown";
}

void bind_tensor(nb::module_& m) {
  nb::class_<OwnTensor>(
      m, "Tensor",
      "A tensor in memory of attend's own, on any device: what empty and to_device "
      "give, and results\n"
      "for callers whose q is neither NumPy's nor PyTorch's and whose library has "
      "no from_dlpack.\n"
      "Row-major; hand it on with from_dlpack, or say .numpy().")
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
      .def(
          "to",
          [](const OwnTensor& self, const std::string& device) {
            return own(self.tensor->to(device_named("to", device)));
          },
          nb::arg("device"), nb::call_guard<nb::gil_scoped_release>(),
          "A copy on another device: 'native', 'cuda', 'rocm', 'cuda:1'.")
      .def(
          "numpy",
          [](const OwnTensor& self) {
            return nb::module_::import_("attend._kinds")
                .attr("from_bytes")(bytes_of(self), dtype_name(self.view().dtype),
                                    nb::cast(self).attr("shape"));
          },
          "A copy as a NumPy array; bfloat16 and 8-bit floats with the types of ml_dtypes.")
      .def("__repr__",
           [](const OwnTensor& self) { return "attend.Tensor(" + to_string(self.view()) + ")"; });
  m.def("empty", &empty, nb::arg("shape"), nb::arg("dtype") = "float32",
        nb::arg("device") = "native", nb::arg("pinned") = false,
        "An uninitialised attend.Tensor, row-major. device: 'native', 'cuda', 'rocm', 'cuda:1';\n"
        "pinned=True: native memory, page-locked for copies to and from that device.");
  m.def("to_device", &copy_to, nb::arg("tensor"), nb::arg("device"),
        "A copy of any tensor on a device, row-major, as an attend.Tensor.");
}

}  // namespace attend::python
