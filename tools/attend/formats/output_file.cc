#include "tools/attend/formats/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "attend/error.h"
#include "tools/attend/formats/tensor_file.h"

namespace attend::cli {

OutputFile::OutputFile(const std::string& path) : path_(path), target_(path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status))
    refuse_file(path, fs::is_directory(status) ? "is a directory, expected a file to write"
                                               : "is not a regular file, expected a file to write");
  if (fs::exists(status)) {  // a link stays a link: the file behind it is replaced
    target_ = fs::canonical(path, error).string();
    if (access(target_.c_str(), W_OK) != 0) fail("cannot be written");
  }
  temporary_ = target_ + ".part-" + std::to_string(getpid());
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot be written");
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void OutputFile::fail(const char* what) {
  const std::string why = std::strerror(errno);
  refuse_file(path_, std::string(what) + ": " + why);
}

void OutputFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot be written");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void OutputFile::commit() {
  if (fsync(descriptor_) != 0) fail("cannot be written");
  if (rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be written");
  close(descriptor_);
  descriptor_ = -1;
}

namespace {

std::string_view bytes_of(const TensorView& t) {
  return {static_cast<const char*>(t.data),
          static_cast<size_t>(t.num_elements() * size_bytes(t.dtype))};
}

std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

const char* safetensors_word(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kF16: return "F16";
    case DType::kBF16: return "BF16";
    case DType::kF8E4M3: return "F8_E4M3";
    case DType::kF8E5M2: return "F8_E5M2";
    case DType::kI8: return "I8";
    case DType::kI32: return "I32";
    case DType::kI64: return "I64";
    case DType::kBool: return "BOOL";
  }
  return "";
}

const char* npy_word(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "<f4";
    case DType::kF16: return "<f2";
    case DType::kI8: return "|i1";
    case DType::kI32: return "<i4";
    case DType::kI64: return "<i8";
    case DType::kBool: return "|b1";
    default: return nullptr;
  }
}

}  // namespace

void write_safetensors(OutputFile& file, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, t] : tensors) {
    const uint64_t end = offset + bytes_of(t).size();
    header[name] = {{"dtype", safetensors_word(t.dtype)},
                    {"shape", std::vector<int64_t>(t.shape.begin(), t.shape.begin() + t.rank)},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins on a multiple of 8
  file.write(little_endian(text.size(), 8) + text);
  for (const auto& [name, t] : tensors) file.write(bytes_of(t));
}

void refuse_npy(const std::string& path, DType dtype) {
  if (npy_word(dtype) == nullptr)
    refuse_file(path, std::string("npy has no ") + name(dtype) +
                          "; write .safetensors, or ask for --out-dtype f32");
}

void write_npy(OutputFile& file, const TensorView& t) {
  refuse_npy(file.path(), t.dtype);
  std::string shape;
  for (int i = 0; i < t.rank; ++i)
    shape += std::to_string(t.dim(i)) + (i + 1 < t.rank ? ", " : t.rank == 1 ? "," : "");
  std::string text = std::string("{'descr': '") + npy_word(t.dtype) +
                     "', 'fortran_order': False, 'shape': (" + shape + "), }";
  text.append(63 - (10 + text.size()) % 64,
              ' ');  // with the newline, the data begins on a multiple of 64
  text += '\n';
  file.write(std::string("\x93NUMPY\x01\x00", 8) + little_endian(text.size(), 2) + text);
  file.write(bytes_of(t));
}

}  // namespace attend::cli
