#include "tests/simt/driver/model.h"

#include <cstdlib>

namespace attend::simt {
namespace {

// Fewer multiprocessors than the products have: enough that work is split, few enough that grids
// which fill the device stay small.
constexpr int kMultiprocessors = 16;
constexpr DeviceModel kModels[] = {
    {"cuda", "sm_90a", "NVIDIA H100", "nv", 32, 9, 0, 227 << 10, kMultiprocessors},
    {"cuda", "sm_80", "NVIDIA A100", "nv", 32, 8, 0, 163 << 10, kMultiprocessors},
    {"cuda", "sm_100a", "NVIDIA B200", "nv", 32, 10, 0, 227 << 10, kMultiprocessors},
    {"rocm", "gfx942", "AMD Instinct MI300X", "cdna", 64, 9, 4, 64 << 10, kMultiprocessors},
    {"rocm", "gfx90a", "AMD Instinct MI250X", "cdna", 64, 9, 0, 64 << 10, kMultiprocessors},
    {"rocm", "gfx1100", "AMD Radeon RX 7900 XTX", "rdna", 32, 11, 0, 64 << 10, kMultiprocessors},
    // For which the plugins carry no code.
    {"cuda", "sm_75", "NVIDIA T4", "nv", 32, 7, 5, 64 << 10, kMultiprocessors},
    {"rocm", "gfx906", "AMD Instinct MI50", "cdna", 64, 9, 0, 64 << 10, kMultiprocessors},
};

std::string word(const char* variable) {
  const char* text = std::getenv(variable);
  return text ? text : "";
}

const DeviceModel* model_of(const std::string& vendor, const std::string& arch) {
  for (const DeviceModel& model : kModels)
    if (vendor == model.vendor && arch == model.arch) return &model;
  return nullptr;
}

bool known(const std::string& arch) {
  for (const char* vendor : {"cuda", "rocm"})
    if (model_of(vendor, arch)) return true;
  return false;
}

}  // namespace

std::string engine_from_environment(const std::string& vendor) {
  const std::string engine = word("ATTEND_SIMT_ENGINE");
  return model_of(vendor, engine) ? engine : "source";
}

const DeviceModel* model_from_environment(const std::string& vendor, std::string* why) {
  const std::string device = word("ATTEND_SIMT_DEVICE"), engine = word("ATTEND_SIMT_ENGINE");
  if (!engine.empty() && engine != "source" && !known(engine)) {
    *why = "ATTEND_SIMT_ENGINE is '" + engine + "', expected source or an architecture";
    return nullptr;
  }
  if (!device.empty() && !known(device)) {
    *why = "ATTEND_SIMT_DEVICE is '" + device + "', expected an architecture, as sm_90a or gfx942";
    return nullptr;
  }
  if (const DeviceModel* model = model_of(vendor, device)) return model;
  if (const DeviceModel* model = model_of(vendor, engine)) return model;
  for (const DeviceModel& model : kModels)
    if (vendor == model.vendor) return &model;
  return nullptr;
}

}  // namespace attend::simt
