#pragma once
#include <nanobind/nanobind.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "array.h"
#include "attend/error.h"
#include "attend/kernel.h"

namespace attend::python {

// What the calls of all operators have in common: the tensors, and where and on which row to run.
struct Request {
  explicit Request(OpId id) : op_id(id), tensors(name(id)) {}

  OpId op_id;
  BorrowedTensors tensors;
  ExecContext context;
  std::optional<DeviceType> device;  // the forward_X door; unset = forward
  std::string kernel;                // not empty: this row and no other
  nb::object like;                   // outputs are of its kind
  bool return_kernel = false, check_indices = true;

  // Told when the call is refused before the operator sees it.
  void refused(const char*) const {}
};

// "contiguous", "zigzag"; errors kInvalidArgument naming `where`
RingPlacement ring_placement(const std::string& where, const std::string& spelled);

// The value of one keyword, with errors that name the word.
//   errors   TypeError for a value of the wrong type, kInvalidArgument for a wrong value
class Value {
 public:
  Value(Request& call, const char* word, nb::handle value)
      : call_(call), word_(word), value_(value) {}

  nb::handle object() const { return value_; }
  bool is_text() const { return PyUnicode_Check(value_.ptr()) != 0; }
  bool is_bool() const;

  bool boolean() const;
  double real() const;
  std::string text() const;
  template <class T>
  T integer() const;
  // One of the given spellings.
  template <class T, size_t n>
  T one_of(const std::pair<const char*, T> (&choices)[n]) const;
  // "float32", numpy.float32, numpy.dtype("float32"), torch.float32
  DType dtype() const;
  // "f8_e4m3", "float8_e4m3fn", ml_dtypes.float8_e4m3fn, "float8_e5m2", "int8", ...
  DType bytes_dtype() const;
  // "native", "cuda", "rocm"
  DeviceType device() const;
  // An address as an int, or a stream object of PyTorch or CuPy.
  void* stream() const;

  TensorView tensor() const { return call_.tensors.input(word_, value_); }
  TensorView index() const { return call_.tensors.index(word_, value_); }
  TensorView scalar_or_tensor() const { return call_.tensors.scalar_or_tensor(word_, value_); }
  // An array that the call writes; `keep` is what the caller gets back.
  TensorView output(nb::object& keep) const {
    keep = nb::borrow(value_);
    return call_.tensors.output(word_, value_);
  }

  // Element i of a sequence, as a word of its own in errors.
  Value at(const char* word, nb::handle item) const { return Value(call_, word, item); }

  [[noreturn]] void refuse(const std::string& want) const;
  [[noreturn]] void wrong_type(const char* want) const;

 private:
  std::string shown() const;
  nb::object whole_number() const;
  std::string dtype_name() const;

  Request& call_;
  const char* word_;
  nb::handle value_;
};

// A keyword and the field of a call that it sets.
template <class Call>
struct Word {
  const char* name;
  void (*set)(Call&, const Value&);
};

// Words that every operator has, last in its table.
std::span<const Word<Request>> run_words();

// Reads what is said into the call, tensors and keywords alike and in the order of `said`; None
// stands for a word that is not given. A word of another operator's is refused by name.
//   errors   TypeError for a word that no operator has; as Value
template <class Call>
void read_into(Call& call, std::span<const Word<Call>> table, const nb::dict& said);

// The device and the stream of the call, before its tensors are taken there.
void go_where_tensors_are(Request& call, const nb::dict& said);
// What is said with the word; null where it is absent or None.
nb::object said_with(const nb::dict& said, const char* word);
void refuse_word(const Request& call, const std::string& word, nb::handle value);
[[noreturn]] void missing_word(const Request& call, const char* word);
[[noreturn]] void invalid(const Request& call, const std::string& what);
std::string shown(nb::handle value);

template <class T>
T Value::integer() const {
  T result{};
  if (!nb::try_cast(whole_number(), result))
    refuse("an int of " + std::to_string(sizeof(T) * 8) + " bits" +
           (std::numeric_limits<T>::is_signed ? "" : ", 0 or more"));
  return result;
}

template <class T, size_t n>
T Value::one_of(const std::pair<const char*, T> (&choices)[n]) const {
  std::string known;
  for (const auto& [choice, meaning] : choices) {
    if (is_text() && nb::cast<std::string>(value_) == choice) return meaning;
    known += (known.empty() ? "'" : ", '") + std::string(choice) + "'";
  }
  refuse(known);
}

template <class Call>
void read_into(Call& call, std::span<const Word<Call>> table, const nb::dict& said) {
  const auto find = [](auto words, const std::string& spelled) {
    return std::find_if(words.begin(), words.end(),
                        [&](const auto& word) { return spelled == word.name; });
  };
  go_where_tensors_are(call, said);
  for (const auto& [key, value] : said) {
    const auto spelled = nb::cast<std::string>(key);
    if (const auto word = find(table, spelled); word != table.end()) {
      if (!value.is_none()) word->set(call, Value(call, word->name, value));
    } else if (const auto shared = find(run_words(), spelled); shared != run_words().end()) {
      if (!value.is_none()) shared->set(call, Value(call, shared->name, value));
    } else {
      refuse_word(call, spelled, value);
    }
  }
  call.context.check_indices = call.check_indices ? CheckIndices::kOn : CheckIndices::kOff;
}

}  // namespace attend::python
