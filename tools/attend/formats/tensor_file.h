#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attend/tensor.h"
#include "strategies/engine/models/file.h"
#include "strategies/engine/models/safetensors.h"

// Files of tensors, read strictly: every size is checked against the file before memory is asked for, and a file
// that contradicts itself is refused whole.
namespace attend::cli {

// Where one tensor lies in its file; the words of .npy are those of NumPy: "<f4".
struct FileEntry : engine::TensorEntry {
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

// The one tensor of an .npy file.
FileEntry read_npy_header(const std::string& path);
using engine::bytes_of;
using engine::head_of_file;
using engine::refuse_file;
using engine::size_of_file;

}  // namespace attend::cli
