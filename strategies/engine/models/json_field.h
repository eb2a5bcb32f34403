#pragma once
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

  // Fields of an object by name and type; null is as absent. Without a default a field must be there.
  bool has(const std::string& key) const { return find(key).has_value(); }
  bool is_null(const std::string& key) const;  // there, and null
  std::string string(const std::string& key, const std::string& otherwise) const;
  // A count: a whole number from `least` to what 32 bits hold, so that products of two fit 64.
  int64_t count(const std::string& key, int64_t least, std::optional<int64_t> absent = {}) const;
  // Above zero, or with `zero` at least zero.
  double number(const std::string& key, std::optional<double> absent = {}, bool zero = false) const;
  // One count or a list of them.
  std::vector<int64_t> counts(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  JsonField object(const std::string& key) const;
  // Errors of a field, there or not.
  [[noreturn]] void refuse(const std::string& key, const std::string& want) const;
  [[noreturn]] void unsupported(const std::string& key, const std::string& want) const;

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
  [[noreturn]] void fail_missing(const std::string& key, const std::string& want) const;
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
