#include "tests/support/devices.h"

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace attend::testing {
namespace {

constexpr DeviceType kAll[] = {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm};

bool has_device(DeviceType type) {
  for (const Backend& b : Registry::global().backends())
    if (b.device == type && b.device_count > 0) return true;
  return false;
}

std::string why_not(DeviceType type) {
  std::string why = "no such backend is loaded";
  for (const Backend& b : Registry::global().backends())
    if (b.device == type) why = b.status;
  for (const LoadFailure& f : Registry::global().load_failures()) why += "; " + f.reason;
  return why;
}

DeviceType device_named(const std::string& text) {
  for (DeviceType type : kAll)
    if (text == name(type)) return type;
  throw std::runtime_error("ATTEND_TEST_DEVICES names '" + text +
                           "', expected native, cuda or rocm");
}

std::vector<DeviceType> devices_from_environment() {
  std::vector<DeviceType> devices;
  if (const char* text = std::getenv("ATTEND_TEST_DEVICES"); text != nullptr && *text != '\0') {
    std::istringstream list(text);
    for (std::string one; std::getline(list, one, ',');) {
      devices.push_back(device_named(one));
      if (!has_device(devices.back()))
        throw std::runtime_error("ATTEND_TEST_DEVICES names " + one +
                                 ", which has no device: " + why_not(devices.back()));
    }
    return devices;
  }
  const char* simt = std::getenv("ATTEND_SIMT");
  const bool stood_in = simt != nullptr && std::string(simt) == "1";
  for (DeviceType type : kAll)
    if (type == DeviceType::kNative || (stood_in && has_device(type))) devices.push_back(type);
  return devices;
}

template <class Row, class Rows>
std::vector<std::reference_wrapper<const Row>> listed(const Rows& rows_on) {
  std::vector<std::reference_wrapper<const Row>> list;
  for (DeviceType device : test_devices())
    for (const Row& row : rows_on(device)) list.emplace_back(row);
  return list;
}

}  // namespace

const std::vector<DeviceType>& test_devices() {
  static const std::vector<DeviceType> devices = devices_from_environment();
  return devices;
}

std::vector<std::reference_wrapper<const AttentionKernel>> test_rows(OpId op) {
  return listed<AttentionKernel>(
      [&](DeviceType d) { return Registry::global().attention_kernels(op, d); });
}
std::vector<std::reference_wrapper<const GdnKernel>> test_gdn_rows() {
  return listed<GdnKernel>([](DeviceType d) { return Registry::global().gdn_kernels(d); });
}
std::vector<std::reference_wrapper<const MergeKernel>> test_merge_rows() {
  return listed<MergeKernel>([](DeviceType d) { return Registry::global().merge_kernels(d); });
}

std::string portable_row(OpId op, DeviceType device) {
  const bool native = device == DeviceType::kNative;
  if (native && op == OpId::kVanilla) return "vanilla/native/eigen";
  if (native && op == OpId::kSdpa) return "sdpa/native/flash";
  return name(op) + std::string("/") + name(device) + "/portable";
}

std::vector<OpOnDevice> on_test_devices(const std::vector<OpId>& ops) {
  std::vector<OpOnDevice> list;
  for (DeviceType device : test_devices())
    for (OpId op : ops) list.push_back({op, device});
  return list;
}

void PrintTo(const OpOnDevice& p, std::ostream* stream) { *stream << test_name_of(p); }

std::string test_name_of(const char* row) {
  std::string text = row;
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}
std::string test_name_of(const OpOnDevice& p) {
  return std::string(name(p.op)) + "_" + name(p.device);
}

}  // namespace attend::testing
