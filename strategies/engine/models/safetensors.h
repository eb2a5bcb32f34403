#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attend/tensor.h"

// .safetensors: 8 bytes of header length (little endian), a JSON object, the elements. Read
// strictly: no name twice, offsets that fit the shapes and cover the data without overlap or gap, every size
// checked against the file before memory is asked for.
namespace attend::engine {

// Where one tensor lies in its file.
struct TensorEntry {
  std::string dtype_word;      // as the file spells it: "BF16"
  std::optional<DType> dtype;  // absent: an element type that attend does not know
  std::vector<uint64_t> shape;
  uint64_t offset = 0, bytes = 0;  // from the start of the file
};

//   errors   kInvalidArgument "<path>: <what> is <got>, expected <want>"
std::map<std::string, TensorEntry> read_safetensors_header(const std::string& path);

// Elements times element_bytes; refuses what 63 bits do not hold.
uint64_t bytes_of(const std::string& path, const std::string& name,
                  const std::vector<uint64_t>& shape, uint64_t element_bytes);

}  // namespace attend::engine
