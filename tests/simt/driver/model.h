#pragma once
#include <cstdint>
#include <string>

// Which device a stand-in driver says it has, and which code a launch runs there.
namespace attend::simt {

struct DeviceModel {
  const char* vendor;    // "cuda" or "rocm"
  const char* arch;      // "sm_90a", "gfx942"
  const char* name;      // of a product that has it
  const char* hardware;  // of the kernels that the host executes: "nv", "cdna", "rdna"
  int warp;
  int major, minor;       // CUDA's compute capability; 9.4 of gfx942
  uint32_t shared_bytes;  // that a block may ask for
  int multiprocessors;
};

// By ATTEND_SIMT_DEVICE, else by ATTEND_SIMT_ENGINE where that names an architecture of this
// vendor, else the vendor's first. An architecture that is not known gives null and `why`.
const DeviceModel* model_from_environment(const std::string& vendor, std::string* why);

// ATTEND_SIMT_ENGINE where it names an architecture of this vendor whose code an interpreter runs,
// else "source".
std::string engine_from_environment(const std::string& vendor);

}  // namespace attend::simt
