#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace attend::engine {

// A JSON object of a file, whose fields are read by name and type. null is as absent; so is a field
// whose default is given. Errors read "<path>: <field> is <got>, expected <want>".
class JsonFields {
 public:
  // The whole of a file, which must hold an object.
  static JsonFields read(const std::string& path);

  bool has(const std::string& field) const;
  bool is_null(const std::string& field) const;  // there, and null
  // A whole number of at least `least`.
  int64_t integer(const std::string& field, int64_t least,
                  std::optional<int64_t> absent = {}) const;
  // Above zero, or with `zero` at least zero.
  double number(const std::string& field, std::optional<double> absent = {},
                bool zero = false) const;
  bool boolean(const std::string& field, bool absent) const;
  std::string text(const std::string& field, std::optional<std::string> absent = {}) const;
  // One number or a list of them.
  std::vector<int64_t> integers(const std::string& field) const;
  std::vector<std::string> texts(const std::string& field) const;
  // An object; fields of it are named "field.inner".
  JsonFields object(const std::string& field) const;

  [[noreturn]] void refuse(const std::string& field, const std::string& want) const;
  // kUnsupported: a legal value that is not here.
  [[noreturn]] void unsupported(const std::string& field, const std::string& known) const;

 private:
  std::string got(const std::string& field) const;
  std::string path_, prefix_;
  nlohmann::json json_ = nlohmann::json::object();
};

}  // namespace attend::engine
