#include "value.h"

#include <nanobind/stl/string.h>

#include "words.h"

namespace attend::python {
namespace {

constexpr Word<Request> kRunWords[] = {
    {"return_kernel", [](Request& c, const Value& v) { c.return_kernel = v.boolean(); }},
    {"kernel", [](Request& c, const Value& v) { c.kernel = v.text(); }},
    {"device", [](Request& c, const Value& v) { c.device = v.device(); }},
    {"stream",
     [](Request& c, const Value& v) { c.tensors.set_stream(c.context.stream = v.stream()); }},
    {"check_indices", [](Request& c, const Value& v) { c.check_indices = v.boolean(); }},
};

}  // namespace

std::span<const Word<Request>> run_words() { return kRunWords; }

RingPlacement ring_placement(const std::string& where, const std::string& spelled) {
  if (spelled == "contiguous") return RingPlacement::kContiguous;
  if (spelled == "zigzag") return RingPlacement::kZigzag;
  throw Error(ErrorCode::kInvalidArgument,
              where + ": ring_placement is '" + spelled + "', expected 'contiguous' or 'zigzag'");
}

// What stands in an error for a value; arrays print themselves at length.
std::string shown(nb::handle value) {
  std::string text = nb::cast<std::string>(nb::repr(value));
  if (text.size() > 80)
    text = "of type " + nb::cast<std::string>(nb::str(nb::type_name(value.type())));
  return text;
}

nb::object said_with(const nb::dict& said, const char* word) {
  PyObject* const value = PyDict_GetItemString(said.ptr(), word);
  return value == nullptr || value == Py_None ? nb::object() : nb::borrow(value);
}

void go_where_tensors_are(Request& call, const nb::dict& said) {
  nb::object lead;
  for (const char* word : {"q", "mixed_qkv", "out_a", "k"})
    if (!lead.is_valid()) lead = said_with(said, word);
  const bool elsewhere = lead.is_valid() && !is_instance_of(lead, "numpy", "ndarray") &&
                         nb::hasattr(lead, "__dlpack_device__");
  if (elsewhere) {
    const auto device = nb::cast<nb::tuple>(lead.attr("__dlpack_device__")());
    const auto type = static_cast<DeviceType>(nb::cast<int>(nb::int_(device[0])));
    if (type == DeviceType::kCuda || type == DeviceType::kRocm)
      call.tensors.set_device({type, static_cast<int16_t>(nb::cast<int>(device[1]))});
  }
  if (const nb::object stream = said_with(said, "stream")) {
    call.context.stream = Value(call, "stream", stream).stream();
  } else if (elsewhere && is_instance_of(lead, "torch", "Tensor") &&
             nb::cast<bool>(lead.attr("is_cuda"))) {
    // PyTorch's own work is on its current stream, and a graph may be under capture there.
    const nb::object cuda = nb::module_::import_("torch").attr("cuda");
    call.context.stream = reinterpret_cast<void*>(
        nb::cast<uintptr_t>(cuda.attr("current_stream")(lead.attr("device")).attr("cuda_stream")));
    call.check_indices = !nb::cast<bool>(cuda.attr("is_current_stream_capturing")());
  }
  call.tensors.set_stream(call.context.stream);
}

void refuse_word(const Request& call, const std::string& word, nb::handle value) {
  const std::string owners = operators_with(word);
  if (owners.empty())
    throw nb::type_error(
        (call.tensors.where() + "() got an unexpected keyword argument '" + word + "'").c_str());
  if (!value.is_none())
    throw Error(ErrorCode::kUnsupported, call.tensors.where() + ": " + word +
                                             " is given, expected it only with " + owners +
                                             "; use that operator");
}

void missing_word(const Request& call, const char* word) {
  throw nb::type_error(
      (call.tensors.where() + "() is missing the argument '" + word + "'").c_str());
}

void invalid(const Request& call, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, call.tensors.where() + ": " + what);
}

bool Value::is_bool() const {
  return PyBool_Check(value_.ptr()) || is_instance_of(value_, "numpy", "bool_");
}

bool Value::boolean() const {
  if (is_bool()) return PyObject_IsTrue(value_.ptr()) == 1;
  wrong_type("True or False");
}

double Value::real() const {
  const double number = is_text() ? -1.0 : PyFloat_AsDouble(value_.ptr());
  if (is_text() || PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    wrong_type("a number");
  }
  return number;
}

nb::object Value::whole_number() const {
  nb::object number = nb::steal(PyNumber_Index(value_.ptr()));
  PyErr_Clear();
  if (!number.is_valid() || PyBool_Check(value_.ptr())) wrong_type("an int");
  return number;
}

std::string Value::text() const {
  if (!is_text()) wrong_type("a str");
  return nb::cast<std::string>(value_);
}

std::string Value::dtype_name() const {
  nb::object text = nb::borrow(value_);
  for (const char* attribute : {"name", "__name__"})
    if (!is_text() && nb::hasattr(value_, attribute)) {
      text = value_.attr(attribute);
      break;
    }
  std::string spelled = nb::cast<std::string>(nb::str(text));
  if (const size_t dot = spelled.rfind('.'); dot != std::string::npos) spelled.erase(0, dot + 1);
  return spelled;
}

DType Value::dtype() const {
  static constexpr std::pair<const char*, DType> kNames[] = {
      {"float32", DType::kF32}, {"float16", DType::kF16}, {"bfloat16", DType::kBF16}};
  const std::string spelled = dtype_name();
  for (const auto& [known, dtype] : kNames)
    if (spelled == known) return dtype;
  refuse("float32 or the dtype of q");
}

DType Value::bytes_dtype() const {
  static constexpr std::pair<const char*, DType> kNames[] = {
      {"f8_e4m3", DType::kF8E4M3}, {"float8_e4m3fn", DType::kF8E4M3},
      {"f8_e5m2", DType::kF8E5M2}, {"float8_e5m2", DType::kF8E5M2},
      {"i8", DType::kI8},          {"int8", DType::kI8}};
  const std::string spelled = dtype_name();
  for (const auto& [known, dtype] : kNames)
    if (spelled == known) return dtype;
  refuse("f8_e4m3 (float8_e4m3fn), f8_e5m2 (float8_e5m2) or i8 (int8)");
}

DeviceType Value::device() const {
  if (is_text())
    for (DeviceType type : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm})
      if (nb::cast<std::string>(value_) == name(type)) return type;
  refuse("'native', 'cuda' or 'rocm'");
}

void* Value::stream() const {
  for (const char* attribute : {"cuda_stream", "ptr"})
    if (nb::hasattr(value_, attribute))
      return reinterpret_cast<void*>(nb::cast<uintptr_t>(value_.attr(attribute)));
  return reinterpret_cast<void*>(integer<uint64_t>());
}

void Value::refuse(const std::string& want) const {
  throw Error(ErrorCode::kInvalidArgument,
              call_.tensors.where() + ": " + word_ + " is " + shown() + ", expected " + want);
}

void Value::wrong_type(const char* want) const {
  throw nb::type_error(
      (call_.tensors.where() + ": " + word_ + " is " + shown() + ", expected " + want).c_str());
}

std::string Value::shown() const { return python::shown(value_); }

}  // namespace attend::python
