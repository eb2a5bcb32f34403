#include "words.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "attend/error.h"

namespace attend::python {
namespace {

// What stands in an error for a value; arrays print themselves at length.
std::string shown(nb::handle value) {
  std::string text = nb::cast<std::string>(nb::repr(value));
  if (text.size() > 80)
    text = "of type " + nb::cast<std::string>(nb::str(nb::type_name(value.type())));
  return text;
}

// Values of keywords, with errors that name the word.
class Value {
 public:
  Value(Call& call, const char* word, nb::handle value) : call_(call), word_(word), value_(value) {}

  Call* operator->() const { return &call_; }
  nb::handle object() const { return value_; }

  bool boolean() const {
    if (PyBool_Check(value_.ptr()) || is_instance_of(value_, "numpy", "bool_"))
      return PyObject_IsTrue(value_.ptr()) == 1;
    wrong_type("True or False");
  }
  double real() const {
    const double number = is_text() ? -1.0 : PyFloat_AsDouble(value_.ptr());
    if (is_text() || PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      wrong_type("a number");
    }
    return number;
  }
  template <class T>
  T integer() const {
    const nb::object number = nb::steal(PyNumber_Index(value_.ptr()));
    PyErr_Clear();
    if (!number.is_valid() || PyBool_Check(value_.ptr())) wrong_type("an int");
    T result{};
    if (!nb::try_cast(number, result))
      refuse("an int of " + std::to_string(sizeof(T) * 8) + " bits" +
             (std::numeric_limits<T>::is_signed ? "" : ", 0 or more"));
    return result;
  }
  template <class T, size_t n>
  T one_of(const std::pair<const char*, T> (&choices)[n]) const {
    std::string known;
    for (const auto& [choice, meaning] : choices) {
      if (is_text() && nb::cast<std::string>(value_) == choice) return meaning;
      known += (known.empty() ? "'" : ", '") + std::string(choice) + "'";
    }
    refuse(known);
  }
  // "float32", numpy.float32, numpy.dtype("float32"), torch.float32
  DType dtype() const {
    static constexpr std::pair<const char*, DType> kNames[] = {
        {"float32", DType::kF32}, {"float16", DType::kF16}, {"bfloat16", DType::kBF16}};
    nb::object text = nb::borrow(value_);
    for (const char* attribute : {"name", "__name__"})
      if (!is_text() && nb::hasattr(value_, attribute)) {
        text = value_.attr(attribute);
        break;
      }
    std::string spelled = nb::cast<std::string>(nb::str(text));
    if (const size_t dot = spelled.rfind('.'); dot != std::string::npos) spelled.erase(0, dot + 1);
    for (const auto& [known, dtype] : kNames)
      if (spelled == known) return dtype;
    refuse("float32 or the dtype of q");
  }
  std::string text() const {
    if (!is_text()) wrong_type("a str");
    return nb::cast<std::string>(value_);
  }
  // An address as an int, or a stream object of PyTorch or CuPy.
  void* stream() const {
    for (const char* attribute : {"cuda_stream", "ptr"})
      if (nb::hasattr(value_, attribute))
        return reinterpret_cast<void*>(nb::cast<uintptr_t>(value_.attr(attribute)));
    return reinterpret_cast<void*>(integer<uint64_t>());
  }
  TensorView tensor() const { return call_.tensors.input(word_, value_); }
  TensorView index() const { return call_.tensors.index(word_, value_); }

  [[noreturn]] void refuse(const std::string& want) const {
    throw Error(ErrorCode::kInvalidArgument, call_.tensors.where() + ": " + word_ + " is " +
                                                 shown(value_) + ", expected " + want);
  }
  [[noreturn]] void wrong_type(const char* want) const {
    throw nb::type_error(
        (call_.tensors.where() + ": " + word_ + " is " + shown(value_) + ", expected " + want)
            .c_str());
  }

 private:
  bool is_text() const { return PyUnicode_Check(value_.ptr()) != 0; }

  Call& call_;
  const char* word_;
  nb::handle value_;
};

void set_window(const Value& v) {
  if (!PyTuple_Check(v.object().ptr()) && !PyList_Check(v.object().ptr()))
    v.wrong_type("(left, right)");
  const auto sides = nb::steal<nb::tuple>(PySequence_Tuple(v.object().ptr()));
  if (sides.size() != 2) v.refuse("(left, right)");
  v->window = true;
  v->params.mask.window_left = Value(*v.operator->(), "window[0]", sides[0]).integer<int32_t>();
  v->params.mask.window_right = Value(*v.operator->(), "window[1]", sides[1]).integer<int32_t>();
}

void set_return_scores(const Value& v) {
  static constexpr std::pair<const char*, ScoresStage> kStages[] = {
      {"scaled", ScoresStage::kScaled},
      {"capped", ScoresStage::kCapped},
      {"masked", ScoresStage::kMasked}};
  v->return_scores = true;
  if (PyBool_Check(v.object().ptr()))
    v->return_scores = v.boolean();  // True: masked
  else
    v->params.scores_stage = v.one_of(kStages);
}

void set_diagonal(const Value& v) {
  static constexpr std::pair<const char*, Diagonal> kDiagonals[] = {
      {"bottom_right", Diagonal::kBottomRight}, {"top_left", Diagonal::kTopLeft}};
  v->params.mask.diagonal = v.one_of(kDiagonals);
}

void set_mask_with_bias(const Value& v) {
  static constexpr std::pair<const char*, MaskWithBias> kMeanings[] = {
      {"both", MaskWithBias::kBoth}, {"bias_only", MaskWithBias::kBiasOnly}};
  v->params.mask_with_bias = v.one_of(kMeanings);
}

struct Word {
  const char* name;
  void (*set)(const Value&);
};

// Every keyword and the field that it sets; help and stubs are held to this table by a test.
constexpr Word kWords[] = {
    {"causal", [](const Value& v) { v->params.mask.causal = v.boolean(); }},
    {"diagonal", set_diagonal},
    {"softmax_scale",
     [](const Value& v) { v->params.softmax_scale = static_cast<float>(v.real()); }},
    {"softcap", [](const Value& v) { v->params.softcap = static_cast<float>(v.real()); }},
    {"window_left",
     [](const Value& v) {
       v->window_side = true, v->params.mask.window_left = v.integer<int32_t>();
     }},
    {"window_right",
     [](const Value& v) {
       v->window_side = true, v->params.mask.window_right = v.integer<int32_t>();
     }},
    {"window", set_window},
    {"block_size", [](const Value& v) { v->params.mask.block_size = v.integer<int32_t>(); }},
    {"block_causal", [](const Value& v) { v->block_causal = v.boolean(); }},
    {"block_origin", [](const Value& v) { v->params.mask.block_origin = v.index(); }},
    {"q_start", [](const Value& v) { v->params.mask.q_start = v.index(); }},
    {"prefix_lens", [](const Value& v) { v->params.mask.prefix_lens = v.index(); }},
    {"hole_starts", [](const Value& v) { v->params.mask.hole_starts = v.index(); }},
    {"hole_ends", [](const Value& v) { v->params.mask.hole_ends = v.index(); }},
    {"q_segment_ids", [](const Value& v) { v->params.mask.q_segment_ids = v.index(); }},
    {"kv_segment_ids", [](const Value& v) { v->params.mask.kv_segment_ids = v.index(); }},
    {"keep", [](const Value& v) { v->params.mask.keep = v.tensor(); }},
    {"bias", [](const Value& v) { v->params.bias = v.tensor(); }},
    {"alibi_slopes", [](const Value& v) { v->params.alibi_slopes = v.tensor(); }},
    {"sinks", [](const Value& v) { v->params.sinks = v.tensor(); }},
    {"mask_with_bias", set_mask_with_bias},
    {"init_bias", [](const Value& v) { v->init_bias = nb::borrow(v.object()); }},
    {"deterministic", [](const Value& v) { v->params.deterministic = v.boolean(); }},
    {"dropout_p", [](const Value& v) { v->params.dropout_p = static_cast<float>(v.real()); }},
    {"dropout_seed", [](const Value& v) { v->params.dropout_seed = v.integer<uint64_t>(); }},
    {"dropout_offset", [](const Value& v) { v->params.dropout_offset = v.integer<uint64_t>(); }},
    {"cu_seqlens_q", [](const Value& v) { v->args.seq.cu_seqlens_q = v.index(); }},
    {"cu_seqlens_k", [](const Value& v) { v->args.seq.cu_seqlens_k = v.index(); }},
    {"seqused_q", [](const Value& v) { v->args.seq.seqused_q = v.index(); }},
    {"seqused_k", [](const Value& v) { v->args.seq.seqused_k = v.index(); }},
    {"max_seqlen_q", [](const Value& v) { v->args.seq.max_seqlen_q = v.integer<int64_t>(); }},
    {"max_seqlen_k", [](const Value& v) { v->args.seq.max_seqlen_k = v.integer<int64_t>(); }},
    {"allow_tf32", [](const Value& v) { v->params.allow_tf32 = v.boolean(); }},
    {"out",
     [](const Value& v) {
       v->args.out = v->tensors.output("out", v->out = nb::borrow(v.object()));
     }},
    {"out_dtype", [](const Value& v) { v->out_dtype = v.dtype(); }},
    {"return_lse", [](const Value& v) { v->return_lse = v.boolean(); }},
    {"return_weights", [](const Value& v) { v->return_weights = v.boolean(); }},
    {"return_scores", set_return_scores},
    {"return_kernel", [](const Value& v) { v->return_kernel = v.boolean(); }},
    {"weights_dtype", [](const Value& v) { v->weights_dtype = v.dtype(); }},
    {"kernel", [](const Value& v) { v->kernel = v.text(); }},
    {"device",
     [](const Value& v) { v->device = device_from_name(v->tensors.where(), v.object()); }},
    {"stream", [](const Value& v) { v->tensors.set_stream(v->context.stream = v.stream()); }},
    {"check_indices", [](const Value& v) { v->check_indices = v.boolean(); }},
    // Words of operators beside vanilla and flash, which refuse them by name.
    {"block_mask", [](const Value& v) { v->params.mask.block_mask = v.tensor(); }},
    {"block_mask_q", [](const Value& v) { v->params.mask.block_mask_q = v.integer<int32_t>(); }},
    {"block_mask_k", [](const Value& v) { v->params.mask.block_mask_k = v.integer<int32_t>(); }},
    {"block_table", [](const Value& v) { v->args.seq.block_table = v.index(); }},
    {"kv_indptr", [](const Value& v) { v->args.seq.kv_indptr = v.index(); }},
    {"kv_indices", [](const Value& v) { v->args.seq.kv_indices = v.index(); }},
    {"kv_last_page_len", [](const Value& v) { v->args.seq.kv_last_page_len = v.index(); }},
    {"context_lens", [](const Value& v) { v->args.seq.context_lens = v.index(); }},
    {"slot_mapping", [](const Value& v) { v->args.seq.slot_mapping = v.index(); }},
    {"start", [](const Value& v) { v->args.seq.start = v.index(); }},
    {"end", [](const Value& v) { v->args.seq.end = v.index(); }},
    {"k_new", [](const Value& v) { v->args.k_new = v.tensor(); }},
    {"v_new", [](const Value& v) { v->args.v_new = v.tensor(); }},
    {"k_descale", [](const Value& v) { v->args.k_descale = v.tensor(); }},
    {"v_descale", [](const Value& v) { v->args.v_descale = v.tensor(); }},
};

[[noreturn]] void invalid(const Call& call, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, call.tensors.where() + ": " + what);
}

// What Python's second spellings of a word say about each other.
void check_spellings(Call& call) {
  if (call.block_causal && call.params.mask.block_size == 0)
    invalid(call, "block_causal is True and block_size is absent, expected block_size with it");
  if (call.window && call.window_side)
    invalid(call,
            "window is given with window_left or window_right, expected one of the two spellings");
  if (call.out.is_valid() && call.out_dtype && *call.out_dtype != call.args.out.dtype)
    invalid(call, std::string("out_dtype is ") + name(*call.out_dtype) + " and out is " +
                      name(call.args.out.dtype) +
                      ", expected one of the two words or the same dtype");
  if (call.weights_dtype && !call.return_weights)
    invalid(call, "weights_dtype is given, expected return_weights=True with it");
}

// Called here rather than by the operator, which runs without the interpreter's lock.
void make_bias(Call& call) {
  if (!call.init_bias.is_valid()) return;
  if (PyCallable_Check(call.init_bias.ptr()) == 0)
    throw nb::type_error(
        (call.tensors.where() + ": init_bias is " + shown(call.init_bias) + ", expected a callable")
            .c_str());
  if (call.params.bias || call.params.mask.keep) return;
  call.params.bias = call.tensors.input("bias", call.init_bias());
}

}  // namespace

DeviceType device_from_name(const std::string& where, nb::handle value) {
  if (PyUnicode_Check(value.ptr()))
    for (DeviceType type : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm})
      if (nb::cast<std::string>(value) == name(type)) return type;
  throw Error(ErrorCode::kInvalidArgument,
              where + ": device is " + shown(value) + ", expected 'native', 'cuda' or 'rocm'");
}

nb::list known_words() {
  nb::list names;
  for (const Word& word : kWords) names.append(word.name);
  return names;
}

void read_words(Call& call, nb::handle q, nb::handle k, nb::handle v, const nb::dict& words) {
  if (words.contains("stream") && !words["stream"].is_none()) {
    const nb::object stream = words["stream"];  // first: the tensors are taken on it
    call.tensors.set_stream(Value(call, "stream", stream).stream());
  }
  call.args.q = call.tensors.input("q", q);
  call.args.k = call.tensors.input("k", k);
  call.args.v = call.tensors.input("v", v);
  call.q = nb::borrow(q);
  for (const auto& [key, value] : words) {
    const auto spelled = nb::cast<std::string>(key);
    const auto* word = std::find_if(std::begin(kWords), std::end(kWords),
                                    [&](const Word& w) { return spelled == w.name; });
    if (word == std::end(kWords))
      throw nb::type_error(
          (call.tensors.where() + "() got an unexpected keyword argument '" + spelled + "'")
              .c_str());
    if (!value.is_none()) word->set(Value(call, word->name, value));
  }
  check_spellings(call);
  make_bias(call);
  call.context.check_indices = call.check_indices ? CheckIndices::kOn : CheckIndices::kOff;
}

}  // namespace attend::python
