#include <charconv>
#include <cstring>

#include "tools/attend/formats/tensor_file.h"
#include "tools/attend/text.h"

// .npy, versions 1, 2 and 3: "\x93NUMPY", two bytes of version, the length of a Python dict literal and that dict,
// of which exactly three fields are read:
//   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
namespace attend::cli {
namespace {

// Reads the dict; no other Python is understood, none is ever run.
class DictReader {
 public:
  DictReader(const std::string& path, std::string text) : path_(path), text_(std::move(text)) {}

  FileEntry read() {
    FileEntry e;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      bool& seen = key == "descr" ? descr : key == "fortran_order" ? order : shape;
      if (key != "descr" && key != "fortran_order" && key != "shape")
        refuse_file(path_, "header holds '" + printable(key) +
                               "', expected descr, fortran_order and shape");
      if (seen) refuse_file(path_, "header holds '" + key + "' twice, expected it once");
      seen = true;
      if (key == "descr")
        e.dtype_word = descr_word();
      else if (key == "fortran_order")
        e.fortran_order = boolean();
      else
        e.shape = tuple();
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (at_ != text_.size()) malformed();
    if (!descr || !order || !shape)
      refuse_file(path_, "header lacks descr, fortran_order or shape");
    return e;
  }

 private:
  [[noreturn]] void malformed() const {
    refuse_file(path_, "header is malformed at byte " + std::to_string(at_) +
                           ", expected {'descr': ..., 'fortran_order': ..., 'shape': ...}");
  }
  void skip() {
    while (at_ < text_.size() && std::strchr(" \n\t\r", text_[at_]) != nullptr && text_[at_] != 0)
      ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) malformed();
  }
  std::string quoted() {
    skip();
    const char quote = at_ < text_.size() ? text_[at_] : 0;
    const size_t end =
        quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string::npos;
    if (end == std::string::npos) malformed();
    std::string word = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return word;
  }
  std::string descr_word() {
    skip();
    if (at_ < text_.size() && (text_[at_] == '[' || text_[at_] == '('))
      refuse_file(path_, "dtype is a structure of fields, expected one plain element type");
    return quoted();
  }
  bool boolean() {
    skip();
    for (const char* word : {"True", "False"}) {
      if (text_.compare(at_, std::strlen(word), word) == 0) {
        at_ += std::strlen(word);
        return *word == 'T';
      }
    }
    malformed();
  }
  std::vector<uint64_t> tuple() {
    std::vector<uint64_t> values;
    expect('(');
    while (!take(')')) {
      skip();
      uint64_t value = 0;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
      if (error != std::errc() || values.size() > 32) malformed();
      at_ += static_cast<size_t>(end - begin);
      values.push_back(value);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  const std::string& path_;
  std::string text_;
  size_t at_ = 0;
};

struct Element {
  const char* word;  // without the byte order
  uint64_t bytes;
  std::optional<DType> dtype;
};
constexpr Element kElements[] = {
    {"f4", 4, DType::kF32}, {"f2", 2, DType::kF16},  {"i4", 4, DType::kI32}, {"i8", 8, DType::kI64},
    {"i1", 1, DType::kI8},  {"b1", 1, DType::kBool}, {"V2", 2, {}},          {"f8", 8, {}},
};

}  // namespace

FileEntry read_npy_header(const std::string& path) {
  const uint64_t size = size_of_file(path);
  if (size < 10 || head_of_file(path, 0, 6) != "\x93NUMPY")
    refuse_file(path, "start is not that of an .npy file");
  const std::string head = head_of_file(path, 6, 4);
  const int version = static_cast<uint8_t>(head[0]);
  if (version < 1 || version > 3 || head[1] != 0)
    refuse_file(path, "version is " + std::to_string(version) + "." +
                          std::to_string(static_cast<uint8_t>(head[1])) +
                          ", expected 1.0, 2.0 or 3.0");
  const uint64_t length_bytes = version == 1 ? 2 : 4, begin = 8 + length_bytes;
  if (size < begin) refuse_file(path, "header is cut short");
  uint64_t length = 0;
  const std::string raw = head_of_file(path, 8, length_bytes);
  for (size_t i = length_bytes; i-- > 0;) length = length << 8 | static_cast<uint8_t>(raw[i]);
  if (length > size - begin || length > 1'000'000)
    refuse_file(path, "header length is " + std::to_string(length) + ", expected at most the " +
                          std::to_string(size - begin) + " bytes that follow");
  FileEntry e = DictReader(path, head_of_file(path, begin, length)).read();

  const std::string word = e.dtype_word;
  const char order = word.empty() ? 0 : word[0];
  const bool ordered = order != 0 && std::strchr("<>|=", order) != nullptr;
  const std::string kind = ordered ? word.substr(1) : word;
  if (kind == "O")
    refuse_file(path, "dtype is object, whose elements are Python pickles; they are never loaded");
  const Element* known = nullptr;
  for (const Element& x : kElements)
    if (kind == x.word) known = &x;
  if (known == nullptr || !ordered || (order == '|' && known->bytes > 1 && kind != "V2"))
    refuse_file(path, "dtype is " + printable(word.substr(0, 40)) +
                          ", expected f4, f2, i4, i8, i1 or b1 with a byte order, or V2 for bf16");
  if (kind == "f8")
    refuse_file(path, "dtype is f8 (float64), expected f4 or f2; save it as float32");
  e.dtype = known->dtype;
  e.swap_bytes = order == '>' && known->bytes > 1;
  e.offset = begin + length;
  e.bytes = bytes_of(path, "", e.shape, known->bytes);
  if (e.bytes != size - e.offset)
    refuse_file(path, "data has " + std::to_string(size - e.offset) + " bytes, expected " +
                          std::to_string(e.bytes) + " of its shape and dtype");
  return e;
}

}  // namespace attend::cli
