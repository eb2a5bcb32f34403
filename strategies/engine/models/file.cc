#include "strategies/engine/models/file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "attend/error.h"

namespace attend::engine {

void refuse_file(const std::string& path, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, path + ": " + what);
}

uint64_t size_of_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    refuse_file(path, error && status.type() != std::filesystem::file_type::not_found
                          ? "cannot be opened: " + error.message()
                          : std::string("no such file"));
  }
  if (!std::filesystem::is_regular_file(status))
    refuse_file(path, std::filesystem::is_directory(status) ? "is a directory, expected a file"
                                                            : "is not a regular file");
  const auto size = std::filesystem::file_size(path, error);
  if (error) refuse_file(path, "cannot be opened: " + error.message());
  errno = 0;
  if (!std::ifstream(path, std::ios::binary))
    refuse_file(path, std::string("cannot be opened: ") + std::strerror(errno));
  return size;
}

std::string head_of_file(const std::string& path, uint64_t offset, uint64_t bytes) {
  std::ifstream stream(path, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(offset));
  std::string text(bytes, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(bytes));
  if (!stream) refuse_file(path, "cannot be read: it ended early");
  return text;
}

std::string printable(const std::string& text) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) {
      return at < text.size() ? static_cast<uint8_t>(text[at]) : 0;
    };
    const uint8_t first = byte(i);
    const size_t size = first < 0x80       ? 1
                        : first >> 5 == 6  ? 2
                        : first >> 4 == 14 ? 3
                        : first >> 3 == 30 ? 4
                                           : 0;
    bool good =
        size > 0 && first != 0x7f && first >= 0x20 && !(first == 0xc2 && byte(i + 1) < 0xa0);
    for (size_t n = 1; n < size; ++n) good = good && byte(i + n) >> 6 == 2;
    clean += good ? text.substr(i, size) : "?";
    i += good ? size : 1;
  }
  return clean;
}

}  // namespace attend::engine
