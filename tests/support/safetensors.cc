#include "tests/support/safetensors.h"

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "attend/error.h"

namespace attend::testing {
namespace {

DType dtype_from(const std::string& word, const std::string& file) {
  const std::pair<const char*, DType> kNames[] = {{"F32", DType::kF32},   {"F16", DType::kF16},
                                                  {"BF16", DType::kBF16}, {"I32", DType::kI32},
                                                  {"I64", DType::kI64},   {"BOOL", DType::kBool}};
  for (const auto& [known, dtype] : kNames) {
    if (word == known) return dtype;
  }
  throw Error(ErrorCode::kInvalidArgument,
              file + ": dtype is " + word + ", expected F32, F16, BF16, I32, I64 or BOOL");
}

}  // namespace

std::map<std::string, Tensor> read_safetensors(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream content;
  content << stream.rdbuf();
  const std::string bytes = content.str();
  const auto refuse = [&](const char* why) {
    return Error(ErrorCode::kInvalidArgument, path.string() + ": " + why);
  };
  uint64_t header_bytes = 0;
  if (bytes.size() < 8) throw refuse("no such file, or shorter than 8 bytes");
  std::memcpy(&header_bytes, bytes.data(), 8);
  if (header_bytes > bytes.size() - 8) throw refuse("the header is longer than the file");
  const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
  const size_t data = 8 + header_bytes;

  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto shape = entry.at("shape").get<std::vector<int64_t>>();
    const auto offsets = entry.at("data_offsets").get<std::vector<size_t>>();
    Tensor tensor = Tensor::empty(dtype_from(entry.at("dtype"), path.string()), shape);
    const auto size =
        static_cast<size_t>(tensor.view().num_elements() * size_bytes(tensor.view().dtype));
    if (offsets.at(1) > bytes.size() - data || offsets[1] - offsets[0] != size)
      throw refuse("data_offsets do not fit a shape");
    if (size > 0) std::memcpy(tensor.view().data, bytes.data() + data + offsets[0], size);
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

}  // namespace attend::testing
