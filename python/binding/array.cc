#include "array.h"

#include <dlpack/dlpack.h>

#include <nanobind/stl/string.h>

#include <utility>

#include "attend/dlpack.h"
#include "attend/error.h"

namespace attend::python {
namespace {

constexpr const char* kKnownTypes =
    "float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, int8, int32, int64 or bool";

// DLPack 1.0's capsule "dltensor_versioned", which says whether a tensor is read-only.
struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor dl_tensor;
};
constexpr uint64_t kReadOnlyFlag = 1, kIsCopiedFlag = 2;

std::string type_of(nb::handle object) {
  return nb::cast<std::string>(nb::str(nb::type_name(object.type())));
}

std::string text(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

// The element type of a NumPy array; false where it is none of ours.
bool numpy_dtype(nb::handle type, DType& dtype) {
  // NumPy's own are told by their character, at a tenth of the cost of the name.
  switch (nb::cast<std::string>(type.attr("char"))[0]) {
    case 'f': return dtype = DType::kF32, true;
    case 'e': return dtype = DType::kF16, true;
    case 'b': return dtype = DType::kI8, true;
    case 'i': return dtype = DType::kI32, true;
    case 'l':
    case 'q': return dtype = DType::kI64, true;
    case '?': return dtype = DType::kBool, true;
    default: break;
  }
  static constexpr std::pair<const char*, DType> kMlDtypes[] = {{"bfloat16", DType::kBF16},
                                                                {"float8_e4m3fn", DType::kF8E4M3},
                                                                {"float8_e5m2", DType::kF8E5M2}};
  const std::string name = text(type.attr("name"));
  for (const auto& [known, meaning] : kMlDtypes)
    if (name == known) return dtype = meaning, true;
  return false;
}

static_assert(sizeof(int) == 4 && sizeof(long) == 8, "what 'i' and 'l' mean above");

// "float64", "uint8", "complex64": DLPack's type codes in words.
std::string dlpack_dtype(const DLDataType& type) {
  static constexpr const char* kKinds[] = {"int",    "uint",    "float", "opaque",
                                           "bfloat", "complex", "bool"};
  const std::string kind = type.code < std::size(kKinds)
                               ? kKinds[type.code]
                               : "type code " + std::to_string(type.code) + ", bits ";
  return kind + std::to_string(type.bits) +
         (type.lanes == 1 ? "" : "x" + std::to_string(type.lanes));
}

// What to say to an 8-bit cache whose elements are not told.
constexpr const char* kSayWhatBytesAre = "; kv_dtype= says what the bytes of a cache are";

bool is_list(nb::handle object) {
  return PyList_Check(object.ptr()) || PyTuple_Check(object.ptr()) || PyRange_Check(object.ptr());
}

nb::object imported(const char* module) {
  return nb::steal(
      PyImport_GetModule(nb::str(module).ptr()));  // null where the program has not imported it
}

// The stream argument of __dlpack__: absent on native; 1 and 0 are the default streams of CUDA and
// ROCm.
void add_stream(nb::dict& words, int device_type, void* stream) {
  if (device_type != kDLCUDA && device_type != kDLROCM) return;
  const auto address = reinterpret_cast<uintptr_t>(stream);
  words["stream"] = stream == nullptr ? uintptr_t{device_type == kDLCUDA} : address;
}

}  // namespace

bool is_instance_of(nb::handle object, const char* module, const char* type) {
  const nb::object where = imported(module);
  if (!where.is_valid()) {
    PyErr_Clear();
    return false;
  }
  const nb::object kind =
      nb::getattr(where, type, nb::none());  // absent while another thread imports it
  return !kind.is_none() && nb::isinstance(object, kind);
}

void BorrowedTensors::refuse(const char* arg, const std::string& what) const {
  throw Error(ErrorCode::kInvalidArgument, where_ + ": " + arg + " " + what);
}

TensorView BorrowedTensors::input(const char* arg, nb::handle object) {
  return take(arg, object, {});
}
TensorView BorrowedTensors::output(const char* arg, nb::handle object) {
  return take(arg, object, {true, false, {}});
}
TensorView BorrowedTensors::cache(const char* arg, nb::handle object, bool writes,
                                  std::optional<DType> bytes) {
  const TensorView view = take(arg, object, {writes, true, bytes});
  if (bytes && view.dtype != *bytes)
    refuse(arg, std::string("dtype is ") + name(view.dtype) + " and kv_dtype is " + name(*bytes) +
                    ", expected uint8 or the same dtype");
  return view;
}

TensorView BorrowedTensors::scalar_or_tensor(const char* arg, nb::handle object) {
  if (!PyFloat_Check(object.ptr()) && !PyLong_Check(object.ptr())) return take(arg, object, {});
  const double number = PyFloat_AsDouble(object.ptr());
  if (number == -1.0 && PyErr_Occurred() != nullptr) {  // an int beyond the range of double
    PyErr_Clear();
    refuse(arg, "is " + text(object) + ", expected a number of 32 bits");
  }
  return said(contiguous(&numbers_.emplace_back(static_cast<float>(number)), DType::kF32,
                         std::span<const int64_t>()));
}

TensorView BorrowedTensors::said(const TensorView& values) {
  if (device_.type == DeviceType::kNative) return values;
  return sent_.emplace_back(Tensor::adopt(values, nullptr, nullptr).to(device_)).view();
}

// One int of a list, appended to values.
void BorrowedTensors::read_int(const char* arg, nb::handle item, std::vector<int64_t>& values) {
  const nb::object number = nb::steal(PyNumber_Index(item.ptr()));
  int overflow = 0;
  const long long value =
      number.is_valid() ? PyLong_AsLongLongAndOverflow(number.ptr(), &overflow) : 0;
  if (!number.is_valid() || overflow != 0) {
    PyErr_Clear();
    const std::string which =
        where_ + ": " + arg + "[" + std::to_string(values.size()) + "] is " + text(nb::repr(item));
    if (overflow != 0) throw Error(ErrorCode::kOutOfRange, which + ", expected 64 bits");
    throw nb::type_error((which + ", expected an int").c_str());
  }
  values.push_back(value);
}

TensorView BorrowedTensors::index(const char* arg, nb::handle object) {
  if (!is_list(object)) return take(arg, object, {});
  std::vector<int64_t>& values = lists_.emplace_back();
  const auto rows = static_cast<int64_t>(PyObject_Length(object.ptr()));
  int64_t columns = -1;  // of a list of lists, a page table for one
  for (nb::handle item : object) {
    if (!is_list(item)) {
      read_int(arg, item, values);
      continue;
    }
    const auto length = static_cast<int64_t>(PyObject_Length(item.ptr()));
    if (columns >= 0 && length != columns)
      refuse(arg, "has rows of " + std::to_string(columns) + " and " + std::to_string(length) +
                      " ints, expected rows of one length");
    columns = length;
    for (nb::handle number : nb::borrow(item)) read_int(arg, number, values);
  }
  if (columns >= 0 && static_cast<int64_t>(values.size()) != rows * columns)
    refuse(arg, "has ints beside rows, expected one of the two");
  static int64_t nothing = 0;  // an empty vector still has an address
  int64_t* const data = values.empty() ? &nothing : values.data();
  return said(columns < 0 ? contiguous(data, DType::kI64, {rows})
                          : contiguous(data, DType::kI64, {rows, columns}));
}

TensorView BorrowedTensors::take(const char* arg, nb::handle object, const Use& use) {
  if (is_instance_of(object, "numpy", "ndarray")) return take_numpy(arg, object, use);
  if (nb::hasattr(object, "__dlpack__")) return take_dlpack(arg, object, use);
  if (nb::hasattr(object, "__array_interface__") || PyObject_CheckBuffer(object.ptr()))
    return take_numpy(arg, nb::module_::import_("numpy").attr("asarray")(object), use);
  throw nb::type_error((where_ + ": " + arg + " is of type " + type_of(object) +
                        ", expected a NumPy array, a PyTorch tensor or an object with __dlpack__")
                           .c_str());
}

TensorView BorrowedTensors::take_numpy(const char* arg, nb::handle array, const Use& use) {
  if (is_instance_of(array, "numpy.ma", "MaskedArray"))
    refuse(arg, "is a masked array, expected a plain one; say .filled() and keep=");
  const nb::object type = array.attr("dtype");
  TensorView view;
  if (!numpy_dtype(type, view.dtype)) {
    const std::string kind = text(type.attr("name"));
    if (!use.is_cache || kind != "uint8" || !use.bytes)
      refuse(arg, "dtype is " + kind + ", expected " + kKnownTypes +
                      (use.is_cache && kind == "uint8" ? kSayWhatBytesAre : ""));
    view.dtype = *use.bytes;
  }
  if (!nb::cast<bool>(type.attr("isnative")))
    refuse(arg, "dtype is " + text(type.attr("str")) +
                    ", expected this machine's byte order; say .astype(" +
                    text(nb::repr(type.attr("name"))) + ")");
  const auto shape = nb::cast<nb::tuple>(array.attr("shape")),
             strides = nb::cast<nb::tuple>(array.attr("strides"));
  if (shape.size() > kMaxRank)
    refuse(arg, "rank is " + std::to_string(shape.size()) + ", expected at most " +
                    std::to_string(kMaxRank));
  const auto memory = nb::cast<nb::tuple>(array.attr("__array_interface__")["data"]);
  if (use.writes && nb::cast<bool>(memory[1]))
    refuse(arg, "is read-only, expected an array that can be written");
  view.data = reinterpret_cast<void*>(nb::cast<uintptr_t>(memory[0]));
  view.rank = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    view.shape[i] = nb::cast<int64_t>(shape[i]);
    const auto bytes = nb::cast<int64_t>(strides[i]);
    if (view.shape[i] > 1 && bytes % size_bytes(view.dtype) != 0)
      refuse(arg, "stride " + std::to_string(i) + " is " + std::to_string(bytes) +
                      " bytes, expected a multiple of " + std::to_string(size_bytes(view.dtype)) +
                      ", the size of an element; say .copy()");
    view.stride[i] = bytes / size_bytes(view.dtype);
  }
  kept_.push_back(nb::borrow(array));
  return view;
}

void BorrowedTensors::refuse_pytorch_views(const char* arg, nb::handle tensor) const {
  const auto is = [&](const char* method) { return nb::cast<bool>(tensor.attr(method)()); };
  if (nb::cast<bool>(tensor.attr("requires_grad")))
    refuse(arg,
           "requires_grad is True, expected False, as attend computes no gradients; say .detach()");
  if (!tensor.attr("layout").is(nb::module_::import_("torch").attr("strided")))
    refuse(arg, "layout is " + text(tensor.attr("layout")) +
                    ", expected torch.strided; say .to_dense()");
  if (is("is_conj"))
    refuse(arg, "is a conjugated view, expected plain memory; say .resolve_conj()");
  if (is("is_neg")) refuse(arg, "is a negated view, expected plain memory; say .resolve_neg()");
}

// The capsule is left unconsumed: it releases the tensor when it goes, after the call.
TensorView BorrowedTensors::take_dlpack(const char* arg, nb::handle given, Use use) {
  nb::object object = nb::borrow(given);
  if (is_instance_of(object, "torch", "Tensor")) {
    refuse_pytorch_views(arg, object);
    // Taken as bytes, as not every version of PyTorch exports its 8-bit floats.
    const std::string dtype = text(object.attr("dtype"));
    for (const auto& [spelled, meaning] :
         {std::pair{"torch.float8_e4m3fn", DType::kF8E4M3}, {"torch.float8_e5m2", DType::kF8E5M2}})
      if (dtype == spelled) {
        object = object.attr("view")(nb::module_::import_("torch").attr("uint8"));
        return take_dlpack(arg, object, {use.writes, true, meaning});
      }
  }
  nb::object capsule;
  try {
    const auto device = nb::cast<nb::tuple>(object.attr("__dlpack_device__")());
    nb::dict words;
    add_stream(words, nb::cast<int>(nb::int_(device[0])), stream_);
    const nb::object method = object.attr("__dlpack__");
    try {
      nb::dict newer;
      newer.update(words);
      newer["max_version"] = nb::make_tuple(1, 0);
      capsule = method(**newer);
    } catch (nb::python_error& e) {
      if (!e.matches(PyExc_TypeError)) throw;
      capsule = method(**words);  // a producer older than DLPack 1.0
    }
  } catch (nb::python_error& e) {
    if (!e.matches(PyExc_Exception) || e.matches(PyExc_MemoryError)) throw;
    refuse(arg, "cannot be exported over DLPack: " + text(e.value()));
  }
  DLManagedTensor tensor{};
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    const auto* managed = static_cast<DLManagedTensorVersioned*>(
        PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    if (managed->major != 1)
      refuse(arg, "comes with DLPack version " + std::to_string(managed->major) +
                      ", expected 1 or the form before it");
    if (use.writes && (managed->flags & kReadOnlyFlag) != 0)
      refuse(arg, "is read-only, expected a tensor that can be written");
    if (use.writes && (managed->flags & kIsCopiedFlag) != 0)
      refuse(arg,
             "was copied by its library on export, expected a tensor whose own memory can be "
             "written");
    tensor.dl_tensor = managed->dl_tensor;
  } else if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) {
    tensor.dl_tensor =
        static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"))->dl_tensor;
  } else {
    refuse(arg, "gave no DLPack capsule, expected one named dltensor or dltensor_versioned");
  }
  kept_.push_back(std::move(capsule));
  kept_.push_back(std::move(object));
  DLDataType& dtype = tensor.dl_tensor.dtype;
  const bool is_bytes =
      use.is_cache && dtype.code == kDLUInt && dtype.bits == 8 && dtype.lanes == 1;
  try {
    if (!is_bytes || !use.bytes) return from_dlpack(tensor);
    dtype.code = kDLInt;
    TensorView view = from_dlpack(tensor);
    view.dtype = *use.bytes;
    return view;
  } catch (const Error& e) {
    const std::string why =
        e.what();  // "from_dlpack: dtype is (code 2, bits 64, lanes 1), expected ..."
    if (why.find(": dtype is ") != std::string::npos)
      refuse(arg, "dtype is " + dlpack_dtype(dtype) + ", expected " + kKnownTypes +
                      (is_bytes ? kSayWhatBytesAre : ""));
    refuse(arg, why.substr(why.find(": ") + 2));
  }
}

}  // namespace attend::python
