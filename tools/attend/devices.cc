#include "tools/attend/devices.h"

#include "attend/registry.h"
#include "tools/attend/command.h"
#include "tools/attend/text.h"

namespace attend::cli {
namespace {

// The vendor's name of a device; empty on native and where there is none.
std::string name_of(Device device) {
  for (const Backend& b : Registry::global().backends())
    if (b.device == device.type && b.table != nullptr && device.index < b.device_count)
      return printable(b.table->device_name(device.index));
  return "";
}

}  // namespace

bool is_host_execution(DeviceType type) {
  return name_of(Device{type, 0}).find("(host execution)") != std::string::npos;
}

std::string kernel_text(const std::string& kernel, DeviceType type) {
  return kernel + (is_host_execution(type) ? " (host execution)" : "");
}

std::string device_text(Device device) {
  const std::string vendor = name_of(device);
  return to_string(device) + (vendor.empty() ? "" : ", " + vendor);
}

std::vector<Device> devices_from(const std::optional<std::string>& word) {
  if (word != "all") return {device_from(word)};
  std::vector<Device> devices;
  for (const Backend& b : Registry::global().backends())
    if (b.device_count > 0) devices.push_back({b.device, 0});
  return devices;
}

}  // namespace attend::cli
