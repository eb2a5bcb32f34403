#pragma once
#include <cstdint>
#include <string>

// What everything that reads files of others has in common.
namespace attend::engine {

// Throws kInvalidArgument "<path>: <what>".
[[noreturn]] void refuse_file(const std::string& path, const std::string& what);
// Also refuses what is no regular, readable file.
uint64_t size_of_file(const std::string& path);
std::string head_of_file(const std::string& path, uint64_t offset, uint64_t bytes);
// Bytes that a terminal would obey, and those that are no UTF-8, become '?': names come from files.
std::string printable(const std::string& text);

}  // namespace attend::engine
