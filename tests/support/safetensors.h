#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "attend/tensor.h"

namespace attend::testing {

// The tensors of a .safetensors file by name, copied into memory of their own.
//   errors   attend::Error kInvalidArgument naming the file and what is wrong with it
std::map<std::string, Tensor> read_safetensors(const std::filesystem::path& path);

}  // namespace attend::testing
