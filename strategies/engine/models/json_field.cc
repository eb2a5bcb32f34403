#include "strategies/engine/models/json_field.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "strategies/engine/models/file.h"

namespace attend::engine {

namespace {

nlohmann::json parse(const std::string& path) {
  try {
    return nlohmann::json::parse(head_of_file(path, 0, size_of_file(path)));
  } catch (const nlohmann::json::exception& e) {
    // What it says begins with "[json.exception.parse_error.101] ".
    const std::string text = e.what();
    const size_t begin = text.find("] ");
    throw Error(ErrorCode::kInvalidArgument,
                path + ": content is not JSON (" +
                    in_quotes(text.substr(begin == std::string::npos ? 0 : begin + 2)) +
                    "), expected JSON");
  }
}

}  // namespace

JsonFile::JsonFile(std::string path)
    : path_(std::move(path)), value_(std::make_shared<const nlohmann::json>(parse(path_))) {}

std::string in_quotes(std::string_view text) {
  constexpr size_t kMost = 160;
  const bool cut = text.size() > kMost;
  const nlohmann::json json = std::string(text.substr(0, kMost)) + (cut ? "..." : "");
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void JsonField::fail(ErrorCode code, const std::string& got, const std::string& want) const {
  throw Error(code, file_ + ": " + (path_.empty() ? "content" : path_) + " is " + got +
                        ", expected " + want);
}

std::string JsonField::shown() const {
  if (value_->is_structured()) return std::string("an ") + value_->type_name();
  return value_->is_string() ? in_quotes(string()) : value_->dump();
}

void JsonField::fail(const std::string& want) const {
  fail(ErrorCode::kInvalidArgument, shown(), want);
}

void JsonField::unsupported(const std::string& want) const {
  fail(ErrorCode::kUnsupported, shown(), want);
}

void JsonField::rethrow(const Error& error) const {
  throw Error(error.code(), file_ + ": " + path_ + ": " + error.what());
}

void JsonField::expect_object() const {
  if (!value_->is_object()) fail("an object");
}

JsonField JsonField::at(const std::string& key) const {
  expect_object();
  const std::string path = path_.empty() ? key : path_ + "." + key;
  const auto found = value_->find(key);
  if (found == value_->end())
    throw Error(ErrorCode::kInvalidArgument,
                file_ + ": " + path + " is missing, expected a field of that name");
  return {file_, path, *found};
}

std::optional<JsonField> JsonField::find(const std::string& key) const {
  expect_object();
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return at(key);
}

JsonField JsonField::at(size_t index) const {
  return {file_, path_ + "[" + std::to_string(index) + "]", (*value_)[index]};
}

const std::string& JsonField::string() const {
  if (!value_->is_string()) fail("a string");
  return value_->get_ref<const std::string&>();
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) fail("true or false");
  return value_->get<bool>();
}

bool JsonField::boolean(const std::string& key, bool otherwise) const {
  const auto field = find(key);
  return field ? field->boolean() : otherwise;
}

int64_t JsonField::integer(int64_t min, int64_t max) const {
  const bool fits = value_->is_number_unsigned()
                        ? value_->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                        : value_->is_number_integer();
  if (!fits || value_->get<int64_t>() < min || value_->get<int64_t>() > max)
    fail("an integer from " + std::to_string(min) + " to " + std::to_string(max));
  return value_->get<int64_t>();
}

size_t JsonField::array_size() const {
  if (!value_->is_array()) fail("an array");
  return value_->size();
}

bool JsonField::is_null(const std::string& key) const {
  return value_->contains(key) && value_->at(key).is_null();
}

void JsonField::refuse(const std::string& key, const std::string& want) const {
  if (const auto field = find(key)) field->fail(want);
  fail_missing(key, want);
}

void JsonField::unsupported(const std::string& key, const std::string& want) const {
  if (const auto field = find(key)) field->unsupported(want);
  fail_missing(key, want);
}

void JsonField::fail_missing(const std::string& key, const std::string& want) const {
  throw Error(
      ErrorCode::kInvalidArgument,
      file_ + ": " + (path_.empty() ? key : path_ + "." + key) + " is missing, expected " + want);
}

std::string JsonField::string(const std::string& key, const std::string& otherwise) const {
  const auto field = find(key);
  return field ? field->string() : otherwise;
}

int64_t JsonField::count(const std::string& key, int64_t least,
                         std::optional<int64_t> absent) const {
  const auto field = find(key);
  if (!field && absent) return *absent;
  if (!field)
    fail_missing(key,
                 "an integer from " + std::to_string(least) + " to " + std::to_string(INT32_MAX));
  return field->integer(least, INT32_MAX);
}

double JsonField::number(const std::string& key, std::optional<double> absent, bool zero) const {
  const auto field = find(key);
  if (!field && absent) return *absent;
  const double value = field && field->value_->is_number() ? field->value_->get<double>() : -1.0;
  if (!(zero ? value >= 0 : value > 0) || !std::isfinite(value))
    refuse(key, zero ? "a number of 0 or more" : "a number above 0");
  return value;
}

std::vector<int64_t> JsonField::counts(const std::string& key) const {
  const auto field = find(key);
  if (!field) return {};
  if (!field->value_->is_array()) return {field->integer(0, INT32_MAX)};
  std::vector<int64_t> values;
  for (size_t i = 0; i < field->array_size(); ++i)
    values.push_back(field->at(i).integer(0, INT32_MAX));
  return values;
}

std::vector<std::string> JsonField::texts(const std::string& key) const {
  std::vector<std::string> values;
  if (const auto field = find(key))
    for (size_t i = 0; i < field->array_size(); ++i) values.push_back(field->at(i).string());
  return values;
}

JsonField JsonField::object(const std::string& key) const {
  const auto field = find(key);
  if (!field) fail_missing(key, "an object");
  field->expect_object();
  return *field;
}

}  // namespace attend::engine
