#include "strategies/engine/models/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "strategies/engine/models/file.h"

namespace attend::engine {
namespace {

using nlohmann::json;

struct Element {
  const char* word;
  uint64_t bytes;
  std::optional<DType> dtype;  // absent: legal in the format, unknown to attend
};
constexpr Element kElements[] = {
    {"F32", 4, DType::kF32},
    {"F16", 2, DType::kF16},
    {"BF16", 2, DType::kBF16},
    {"F8_E4M3", 1, DType::kF8E4M3},
    {"F8_E5M2", 1, DType::kF8E5M2},
    {"I8", 1, DType::kI8},
    {"I32", 4, DType::kI32},
    {"I64", 8, DType::kI64},
    {"BOOL", 1, DType::kBool},
    {"F64", 8, {}},
    {"C64", 8, {}},
    {"U8", 1, {}},
    {"I16", 2, {}},
    {"U16", 2, {}},
    {"U32", 4, {}},
    {"U64", 8, {}},
    {"F8_E8M0", 1, {}},
};

constexpr uint64_t kLongestHeader = 100'000'000;  // as the format's own library has it

// The parsed header. Names that occur twice and values nested deeper than the format has them are
// refused while parsing, so that neither is ever built.
json parse(const std::string& path, const std::string& header) {
  std::set<std::string> names, fields;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if ((event == json::parse_event_t::object_start && depth > 1) ||
        (event == json::parse_event_t::array_start && depth > 2))
      refuse_file(path, "header is nested too deep for safetensors");
    if (event == json::parse_event_t::object_start && depth == 1) fields.clear();
    if (event == json::parse_event_t::key) {
      auto& seen = depth == 1 ? names : fields;
      if (!seen.insert(value.get<std::string>()).second)
        refuse_file(path, "name '" + printable(value.get<std::string>()) +
                              "' stands twice in the header, expected it once");
    }
    return true;
  };
  if (header.find('\0') != std::string::npos)
    refuse_file(path, "header holds a zero byte, expected JSON");
  try {
    return json::parse(header, watch);
  } catch (const json::exception& e) {
    const std::string why = e.what();  // "[json.exception.parse_error.101] parse error at ..."
    refuse_file(path, "header is no JSON: " + printable(why.substr(why.find("] ") + 2, 160)));
  }
}

std::vector<uint64_t> counts(const std::string& path, const std::string& what, const json& list) {
  std::vector<uint64_t> values;
  for (const json& item : list.is_array() ? list : json::array({nullptr})) {
    if (!item.is_number_unsigned())
      refuse_file(
          path,
          what + " is " +
              printable(list.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 60)) +
              ", expected a list of whole numbers");
    values.push_back(item.get<uint64_t>());
  }
  return values;
}

}  // namespace

uint64_t bytes_of(const std::string& path, const std::string& name,
                  const std::vector<uint64_t>& shape, uint64_t element_bytes) {
  uint64_t bytes = element_bytes;
  bool empty = false;
  for (uint64_t dim : shape) {
    empty = empty || dim == 0;
    if (dim > INT64_MAX || __builtin_mul_overflow(bytes, dim == 0 ? 1 : dim, &bytes) ||
        bytes > INT64_MAX)
      refuse_file(path, "shape of '" + printable(name) + "' has more bytes than 63 bits count");
  }
  return empty ? 0 : bytes;
}

std::map<std::string, TensorEntry> read_safetensors_header(const std::string& path) {
  const uint64_t size = size_of_file(path);
  if (size < 8) refuse_file(path, "size is " + std::to_string(size) + " bytes, expected 8 or more");
  uint64_t length = 0;
  const std::string first = head_of_file(path, 0, 8);
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<uint8_t>(first[i]);
  if (length > size - 8)
    refuse_file(path, "header length is " + std::to_string(length) + ", expected at most the " +
                          std::to_string(size - 8) +
                          " bytes that follow; the file is cut short or is no safetensors");
  if (length > kLongestHeader)
    refuse_file(path, "header length is " + std::to_string(length) + ", expected at most " +
                          std::to_string(kLongestHeader));
  const json header = parse(path, head_of_file(path, 8, length));
  if (!header.is_object()) refuse_file(path, "header is no JSON object");

  const uint64_t data = 8 + length, data_bytes = size - data;
  std::map<std::string, TensorEntry> entries;
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      for (const json& text : value)
        if (!text.is_string()) refuse_file(path, "__metadata__ holds other things than strings");
      if (!value.is_object()) refuse_file(path, "__metadata__ is no JSON object");
      continue;
    }
    const std::string label = "'" + printable(name) + "' ";
    if (!value.is_object()) refuse_file(path, label + "is no JSON object");
    for (const char* field : {"dtype", "shape", "data_offsets"})
      if (!value.contains(field)) refuse_file(path, label + field + " is absent from the header");
    if (value.size() != 3)
      refuse_file(path, label + "has more fields than dtype, shape, data_offsets");
    TensorEntry e;
    if (value["dtype"].is_string()) e.dtype_word = value["dtype"].get<std::string>();
    const auto* known = std::find_if(std::begin(kElements), std::end(kElements),
                                     [&](const Element& x) { return e.dtype_word == x.word; });
    if (known == std::end(kElements))
      refuse_file(path, label + "dtype is " + printable(e.dtype_word) +
                            ", which safetensors does not have");
    e.dtype = known->dtype;
    e.shape = counts(path, label + "shape", value["shape"]);
    const auto offsets = counts(path, label + "data_offsets", value["data_offsets"]);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes) {
      std::string words;
      for (const uint64_t x : offsets) words += (words.empty() ? "" : ", ") + std::to_string(x);
      refuse_file(path, label + "data_offsets are [" + words + "], expected begin <= end <= " +
                            std::to_string(data_bytes) + ", the bytes of data");
    }
    e.offset = data + offsets[0];
    e.bytes = offsets[1] - offsets[0];
    const uint64_t wanted = bytes_of(path, name, e.shape, known->bytes);
    if (e.bytes != wanted)
      refuse_file(path, label + "size is " + std::to_string(e.bytes) + " bytes, expected " +
                            std::to_string(wanted) + " of its shape and dtype");
    if (e.bytes > 0) spans.emplace_back(offsets[0], offsets[1]);
    entries.emplace(name, std::move(e));
  }
  std::sort(spans.begin(), spans.end());
  uint64_t end = 0;
  for (const auto& [from, to] : spans) {
    if (from != end)
      refuse_file(path, std::string("tensors ") + (from < end ? "overlap" : "leave a gap") +
                            " at byte " + std::to_string(std::min(from, end)) +
                            " of the data, expected one to follow the other");
    end = to;
  }
  if (end != data_bytes)
    refuse_file(path, "data has " + std::to_string(data_bytes) + " bytes, expected the " +
                          std::to_string(end) + " that the header names");
  return entries;
}

}  // namespace attend::engine
