#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/simt/driver/arena.h"
#include "tests/simt/driver/model.h"
#include "tests/simt/executor/launch.h"

// How a launch is executed: the kernel's source on the host, or its device code in an interpreter.
namespace attend::simt {

struct EngineLaunch {
  const KernelEntry* kernel;
  gpu::Index3 grid;
  int threads;
  uint32_t shared_bytes;
  std::vector<unsigned char> args;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Empty, or what went wrong in words. Several host threads may call.
  virtual std::string run(const EngineLaunch& launch) = 0;
};

// The kernels that were compiled for the host as for this hardware: libattend_simt_<hardware>.so in
// ATTEND_SIMT_KERNELS, else beside the driver. Null, and `why`, if it cannot be opened.
const KernelLibrary* open_kernels(const char* hardware, std::string* why);

std::unique_ptr<Engine> source_engine(const KernelLibrary& kernels, Arena& arena);
// Starts tests/simt/interpreters/serve.py at the first launch, and once more at the one after it has
// ended, and talks to it over pipes.
//   ATTEND_SIMT_PYTHON   its Python, which has numpy
//   ATTEND_SIMT_IMAGES   the folder of device images, by default that of the build
//   ATTEND_SIMT_TIMEOUT  seconds that a launch may take, by default 600
std::unique_ptr<Engine> interpreter_engine(const std::string& arch, Arena& arena);

}  // namespace attend::simt
