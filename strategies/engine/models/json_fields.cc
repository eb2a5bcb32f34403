#include "strategies/engine/models/json_fields.h"

#include <cmath>

#include "attend/error.h"
#include "strategies/engine/models/file.h"

namespace attend::engine {

using nlohmann::json;

JsonFields JsonFields::read(const std::string& path) {
  JsonFields fields;
  fields.path_ = path;
  fields.json_ = json::parse(head_of_file(path, 0, size_of_file(path)), nullptr, false);
  if (fields.json_.is_discarded()) refuse_file(path, "content is no JSON");
  if (!fields.json_.is_object()) refuse_file(path, "content is no JSON object");
  return fields;
}

bool JsonFields::has(const std::string& field) const {
  const auto found = json_.find(field);
  return found != json_.end() && !found->is_null();
}

bool JsonFields::is_null(const std::string& field) const {
  return json_.contains(field) && json_.at(field).is_null();
}

std::string JsonFields::got(const std::string& field) const {
  const std::string value =
      has(field) ? json_.at(field).dump(-1, ' ', false, json::error_handler_t::replace) : "absent";
  return path_ + ": " + prefix_ + field + " is " + printable(value.substr(0, 80));
}

void JsonFields::refuse(const std::string& field, const std::string& want) const {
  throw Error(ErrorCode::kInvalidArgument, got(field) + ", expected " + want);
}

void JsonFields::unsupported(const std::string& field, const std::string& known) const {
  throw Error(ErrorCode::kUnsupported, got(field) + ", expected " + known);
}

int64_t JsonFields::integer(const std::string& field, int64_t least,
                            std::optional<int64_t> absent) const {
  if (!has(field) && absent) return *absent;
  const int64_t most = INT32_MAX;  // of every count in these files; products then fit 64 bits
  if (!has(field) || !json_.at(field).is_number_integer() || json_.at(field) < least ||
      json_.at(field) > most)
    refuse(field, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return json_.at(field).get<int64_t>();
}

double JsonFields::number(const std::string& field, std::optional<double> absent, bool zero) const {
  if (!has(field) && absent) return *absent;
  const double value =
      has(field) && json_.at(field).is_number() ? json_.at(field).get<double>() : -1.0;
  if (!(zero ? value >= 0 : value > 0) || !std::isfinite(value))
    refuse(field, zero ? "a number of 0 or more" : "a number above 0");
  return value;
}

bool JsonFields::boolean(const std::string& field, bool absent) const {
  if (!has(field)) return absent;
  if (!json_.at(field).is_boolean()) refuse(field, "true or false");
  return json_.at(field).get<bool>();
}

std::string JsonFields::text(const std::string& field, std::optional<std::string> absent) const {
  if (!has(field) && absent) return *absent;
  if (!has(field) || !json_.at(field).is_string()) refuse(field, "a string");
  return json_.at(field).get<std::string>();
}

std::vector<int64_t> JsonFields::integers(const std::string& field) const {
  std::vector<int64_t> values;
  if (!has(field)) return values;
  const json& value = json_.at(field);
  for (const json& item : value.is_array() ? value : json::array({value})) {
    if (!item.is_number_integer() || item < 0 || item > INT32_MAX)
      refuse(field, "a whole number of 0 or more, or a list of them");
    values.push_back(item.get<int64_t>());
  }
  return values;
}

std::vector<std::string> JsonFields::texts(const std::string& field) const {
  std::vector<std::string> values;
  if (!has(field)) return values;
  for (const json& item : json_.at(field).is_array() ? json_.at(field) : json::array({nullptr})) {
    if (!item.is_string()) refuse(field, "a list of strings");
    values.push_back(item.get<std::string>());
  }
  return values;
}

JsonFields JsonFields::object(const std::string& field) const {
  if (!has(field) || !json_.at(field).is_object()) refuse(field, "an object");
  JsonFields inner;
  inner.path_ = path_;
  inner.prefix_ = prefix_ + field + ".";
  inner.json_ = json_.at(field);
  return inner;
}

}  // namespace attend::engine
