#include "tests/simt/executor/launch.h"

#include "tests/simt/executor/block.h"
#include "tests/simt/executor/traps.h"

namespace attend::simt {
namespace {

const KernelEntry* kernels = nullptr;

// Empty, or why no GPU would start this launch.
std::string refusal(const Launch& launch) {
  const KernelEntry& kernel = *launch.kernel;
  const std::string where = kernel.name() + std::string(": ");
  const auto differs = [&](const char* what, int64_t got, const std::string& want) {
    return where + what + " is " + std::to_string(got) + ", expected " + want;
  };
  if (launch.threads != kernel.threads())
    return differs("block", launch.threads, std::to_string(kernel.threads()) + " threads");
  if (launch.threads % kernel.warp() || launch.threads > Block::kMostThreads)
    return differs("block", launch.threads,
                   "whole warps of " + std::to_string(kernel.warp()) + ", at most " +
                       std::to_string(Block::kMostThreads) + " threads");
  if (launch.shared_bytes > SharedMemory::kMost)
    return differs("shared memory", launch.shared_bytes,
                   "at most " + std::to_string(SharedMemory::kMost) + " bytes");
  const gpu::Index3 grid = launch.grid;
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 || grid.z > 65535)
    return where + "grid is (" + std::to_string(grid.x) + ", " + std::to_string(grid.y) + ", " +
           std::to_string(grid.z) + "), expected at least 1 each, y and z at most 65535";
  return {};
}

}  // namespace

KernelEntry::KernelEntry(const char* name, int threads, size_t arg_bytes, int warp, Enter enter)
    : name_(name),
      threads_(threads),
      arg_bytes_(arg_bytes),
      warp_(warp),
      enter_(enter),
      next_(kernels) {
  kernels = this;
}

const KernelEntry* first_kernel() { return kernels; }

const KernelEntry* find_kernel(std::string_view name) {
  const KernelEntry* kernel = kernels;
  while (kernel && name != kernel->name()) kernel = kernel->next();
  return kernel;
}

std::string execute(const Launch& launch) {
  std::string error = refusal(launch);
  if (!error.empty()) return error;
  catch_traps();
  return Block::of_this_thread().run(launch);
}

}  // namespace attend::simt
