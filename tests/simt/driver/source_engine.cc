#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "tests/simt/driver/driver.h"
#include "tests/simt/driver/engine.h"

namespace attend::simt {
namespace {

std::string describe(uintptr_t address) { return "at " + Driver::get().arena().describe(address); }

class SourceEngine final : public Engine {
 public:
  SourceEngine(const KernelLibrary& kernels, Arena& arena) : kernels_(kernels), arena_(arena) {}

  std::string run(const EngineLaunch& launch) override {
    const Arena::Open open(arena_);
    alignas(64) unsigned char args[4096];
    std::memcpy(args, launch.args.data(), launch.args.size());
    return kernels_.execute({.kernel = launch.kernel,
                             .grid = launch.grid,
                             .threads = launch.threads,
                             .shared_bytes = launch.shared_bytes,
                             .args = args,
                             .order = Order::from_environment(),
                             .describe = &describe});
  }

 private:
  const KernelLibrary& kernels_;
  Arena& arena_;
};

std::string folder_of_this_library() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<void*>(&describe), &info) || !info.dli_fname) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

const KernelLibrary* open_kernels(const char* hardware, std::string* why) {
  const char* const folder = std::getenv("ATTEND_SIMT_KERNELS");
  const std::string path =
      (folder ? folder : folder_of_this_library()) + "/libattend_simt_" + hardware + ".so";
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const void* const symbol = library ? dlsym(library, "attend_simt_library") : nullptr;
  if (!symbol) *why = dlerror();
  return static_cast<const KernelLibrary*>(symbol);
}

std::unique_ptr<Engine> source_engine(const KernelLibrary& kernels, Arena& arena) {
  return std::make_unique<SourceEngine>(kernels, arena);
}

}  // namespace attend::simt
