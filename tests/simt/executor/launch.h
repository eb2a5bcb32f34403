#pragma once
#include <cstdint>
#include <string>

#include "backends/gpu/call/kernel.h"
#include "tests/simt/executor/host_kernel.h"

// Launches on the host: one fiber for each GPU thread, blocks one after another.
namespace attend::simt {

// In which order the threads of a block, the warps and the blocks take their turns: any is legal.
struct Order {
  enum class Kind : uint8_t { kForward, kBackward, kShuffled };
  Kind kind = Kind::kForward;
  uint64_t seed = 1;  // of kShuffled

  // "forward", "backward", "shuffled:7"; from ATTEND_SIMT_ORDER, forward if that is not set.
  static Order from_environment();
};

struct Launch {
  const KernelEntry* kernel;
  gpu::Index3 grid;
  int threads;            // of a block
  uint32_t shared_bytes;  // of a block
  const void* args;
  Order order{};
  // Says in words what lies at an address of global memory, for faults; may be null.
  std::string (*describe)(uintptr_t address) = nullptr;
};

// Runs a launch to its end. Several host threads may, each a launch of its own.
//   returns  empty, or what the kernel did that a GPU would not forgive
std::string execute(const Launch&);

// What a library of kernels exports, as `attend_simt_library`: one for each hardware.
struct KernelLibrary {
  int warp;
  const KernelEntry* (*first)();
  const KernelEntry* (*find)(std::string_view name);
  std::string (*execute)(const Launch&);
};

}  // namespace attend::simt
