#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attend/tensor.h"

// Files of tensors, read strictly: every size is checked against the file before memory is asked for, and a file
// that contradicts itself is refused whole.
namespace attend::cli {

// Where one tensor lies in its file.
struct FileEntry {
  std::string dtype_word;      // as the file spells it: "BF16", "<f4"
  std::optional<DType> dtype;  // absent: an element type that attend does not know
  std::vector<uint64_t> shape;
  uint64_t offset = 0, bytes = 0;  // from the start of the file
  bool swap_bytes = false;
  bool fortran_order = false;
};

class TensorFile {
 public:
  // .safetensors or .npy, by the end of the name.
  //   errors   kInvalidArgument "<path>: <what> is <got>, expected <want>"
  explicit TensorFile(const std::string& path);

  const std::string& path() const { return path_; }
  bool named() const { return named_; }  // .npy holds one tensor without a name, here ""
  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  std::vector<std::string> names() const;  // layer2 before layer10
  const FileEntry& entry(const std::string& name) const { return entries_.at(name); }

  // A copy in memory, row-major. `as` tells what two-byte void elements of .npy are.
  //   errors   kInvalidArgument: no such name (those that there are are listed), element type, rank, bool values
  Tensor read(const std::string& name, std::optional<DType> as = {}) const;

 private:
  std::string path_;
  bool named_ = true;
  std::map<std::string, FileEntry> entries_;
};

// What the two formats share.
using Entries = std::map<std::string, FileEntry>;
Entries read_safetensors_header(const std::string& path);
Entries read_npy_header(const std::string& path);
[[noreturn]] void refuse_file(const std::string& path, const std::string& what);
std::string head_of_file(const std::string& path, uint64_t offset, uint64_t bytes);
uint64_t size_of_file(const std::string& path);  // also refuses what is no regular, readable file
// Elements times element_bytes; refuses what 63 bits do not hold.
uint64_t bytes_of(const std::string& path, const std::string& name,
                  const std::vector<uint64_t>& shape, uint64_t element_bytes);

}  // namespace attend::cli
