#pragma once
#include <optional>
#include <string>
#include <vector>

#include "attend/tensor.h"

// Devices as this program names them.
namespace attend::cli {

// Whether kernels of this backend are executed on the host by a stand-in for its driver (tests
// alone): nobody shall take what they print for a device's.
bool is_host_execution(DeviceType type);

// "flash/cuda/portable (host execution)".
std::string kernel_text(const std::string& kernel, DeviceType type);

// "native:0"; "cuda:0, NVIDIA H200".
std::string device_text(Device device);

// Those of --device; all: native and the first device of every backend that has one.
std::vector<Device> devices_from(const std::optional<std::string>& word);

}  // namespace attend::cli
