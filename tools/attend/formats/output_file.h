#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attend/tensor.h"

namespace attend::cli {

// A file that appears whole or not at all: written under a temporary name beside its own, then renamed. Made before
// the work whose result it takes, so that a place that cannot be written is known at once.
class OutputFile {
 public:
  //   errors   kInvalidArgument: folder missing or not writable, a directory, no regular file
  explicit OutputFile(const std::string& path);
  ~OutputFile();  // removes the temporary file unless committed
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view bytes);
  void commit();
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail(const char* what);
  std::string path_, target_, temporary_;
  int descriptor_ = -1;
};

using NamedTensors = std::vector<std::pair<std::string, TensorView>>;  // row-major, on native

void write_safetensors(OutputFile& file, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata);
// Version 1.0. npy has f32, f16, i32, i64, i8 and bool; refuse_npy says so before a call runs.
void write_npy(OutputFile& file, const TensorView& tensor);
void refuse_npy(const std::string& path, DType dtype);

}  // namespace attend::cli
