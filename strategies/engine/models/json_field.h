#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "attend/error.h"

namespace attend::engine {

// The text in quotes, no longer than an error takes, without bytes that a terminal would obey.
std::string in_quotes(std::string_view text);

// A value of a JSON file together with where it stands, so that what is wrong with it can be said:
// "<file>: model.vocab is missing, expected an object". The value must outlive it.
class JsonField {
 public:
  JsonField(std::string file, const nlohmann::json& value)
      : file_(std::move(file)), value_(&value) {}

  const nlohmann::json& value() const noexcept { return *value_; }
  // The field of that name; missing is an error.
  JsonField at(const std::string& key) const;
  // Nothing where it is missing or null.
  std::optional<JsonField> find(const std::string& key) const;
  JsonField at(size_t index) const;

  const std::string& string() const;
  bool boolean() const;
  // expected min..max, both included
  int64_t integer(int64_t min, int64_t max) const;
  size_t array_size() const;  // of an array, else an error
  void expect_object() const;

  const std::string& string(const std::string& key) const { return at(key).string(); }
  bool boolean(const std::string& key, bool otherwise) const;

  // "<file>: <path> is <got>, expected <want>"
  [[noreturn]] void fail(ErrorCode code, const std::string& got, const std::string& want) const;
  // The same with the value, or its kind where it is long, as <got>.
  [[noreturn]] void fail(const std::string& want) const;
  // kUnsupported: a legal value that is not here.
  [[noreturn]] void unsupported(const std::string& want) const;
  // An error of what was made of the value, with file and path in front.
  [[noreturn]] void rethrow(const Error& error) const;

 private:
  std::string shown() const;
  JsonField(std::string file, std::string path, const nlohmann::json& value)
      : file_(std::move(file)), path_(std::move(path)), value_(&value) {}

  std::string file_, path_;
  const nlohmann::json* value_;
};

// The JSON of a file.
class JsonFile {
 public:
  //   errors   kInvalidArgument naming the file when it cannot be read or is no JSON
  explicit JsonFile(std::string path);
  // Lives as long as the file.
  JsonField root() const { return {path_, *value_}; }

 private:
  std::string path_;
  std::shared_ptr<const nlohmann::json> value_;
};

}  // namespace attend::engine
