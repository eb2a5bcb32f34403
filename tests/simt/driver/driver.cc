#include "tests/simt/driver/driver.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace attend::simt {
namespace {

constexpr uint32_t kAlwaysAllowed = 48 << 10;  // shared memory that a block may have unasked

// Empty, or why the image is not for a device of this architecture.
std::string misfit(const void* image, const DeviceModel& model) {
  constexpr uint32_t kFatbin = 0xba55ed50;
  uint32_t magic = 0;
  std::memcpy(&magic, image, sizeof magic);
  if (std::string(model.vendor) == "cuda")
    return magic == kFatbin || !std::memcmp(image, ELFMAG, SELFMAG) || !std::memcmp(image, "//", 2)
               ? ""
               : "image is neither a fatbin nor a cubin nor PTX";
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  constexpr uint16_t kAmdGpu = 224;
  constexpr std::pair<const char*, uint32_t> kMachines[] = {
      {"gfx90a", 0x3f}, {"gfx942", 0x4c}, {"gfx1100", 0x41}};
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_machine != kAmdGpu)
    return "image is no code object";
  for (const auto& [arch, machine] : kMachines)
    if (arch == std::string(model.arch) && (header.e_flags & 0xff) != machine)
      return std::string("image is not for ") + arch;
  return {};
}

}  // namespace

Driver& Driver::get() {
  static Driver& driver = *new Driver;  // work may still come while other statics go
  return driver;
}

Result Driver::init() {
  std::call_once(once_, [&] {
    model_ = model_from_environment(kVendor, &why_);
    if (model_) kernels_ = open_kernels(model_->hardware, &why_);
    if (!kernels_) {
      opened_ = Result::kNoDevice;
      return;
    }
    const std::string engine = engine_from_environment(kVendor);
    engine_ =
        engine == "source" ? source_engine(*kernels_, arena_) : interpreter_engine(engine, arena_);
  });
  return opened_ == Result::kSuccess ? opened_ : fail(opened_, why_);
}

Result Driver::load_module(void** module, const void* image) {
  constexpr auto kInvalidImage = static_cast<Result>(200);
  if (const Result r = streams_.forbidden("loading a module"); r != Result::kSuccess) return r;
  if (image)
    if (std::string why = misfit(image, *model_); !why.empty())
      return fail(kInvalidImage, std::move(why));
  *module = this;  // every module has every kernel
  return Result::kSuccess;
}

Result Driver::find_function(void** function, const void* module, const char* name) {
  if (module != this) return fail(Result::kInvalidHandle, "module is not one of this driver's");
  const KernelEntry* const kernel = kernels_->find(name);
  if (!kernel) return fail(Result::kNotFound, std::string("no kernel is called ") + name);
  const std::lock_guard lock(mutex_);
  auto& kept = functions_[name];
  if (!kept) kept = std::make_unique<Function>(kernel);
  *function = kept.get();
  return Result::kSuccess;
}

Result Driver::allow_shared(void* function, int bytes) {
  if (bytes < 0 || static_cast<uint32_t>(bytes) > model_->shared_bytes)
    return fail(Result::kInvalidValue, "shared memory is " + std::to_string(bytes) +
                                           " bytes, expected at most " +
                                           std::to_string(model_->shared_bytes));
  static_cast<Function*>(function)->allowed = static_cast<uint32_t>(bytes);
  return Result::kSuccess;
}

Result Driver::launch(void* function, gpu::Index3 grid, gpu::Index3 block, uint32_t shared_bytes,
                      void* stream, const Arguments& arguments) {
  const auto& f = *static_cast<Function*>(function);
  const KernelEntry& kernel = *f.kernel;
  const std::string where = std::string(kernel.name()) + ": ";
  if (block.x != kernel.threads() || block.y != 1 || block.z != 1)
    return fail(Result::kInvalidValue, where + "block is (" + std::to_string(block.x) + ", " +
                                           std::to_string(block.y) + ", " +
                                           std::to_string(block.z) + "), expected (" +
                                           std::to_string(kernel.threads()) + ", 1, 1)");
  const uint32_t allowed = std::string(kVendor) == "rocm"
                               ? model_->shared_bytes
                               : std::max(kAlwaysAllowed, f.allowed.load());
  if (shared_bytes > allowed)
    return fail(Result::kInvalidValue, where + "shared memory is " + std::to_string(shared_bytes) +
                                           " bytes, expected at most " + std::to_string(allowed) +
                                           ", as this function has been allowed");
  if (arguments.buffer && arguments.bytes != kernel.arg_bytes())
    return fail(Result::kInvalidValue, where + "arguments are " + std::to_string(arguments.bytes) +
                                           " bytes, expected " +
                                           std::to_string(kernel.arg_bytes()));
  const void* const from = arguments.buffer ? arguments.buffer
                           : arguments.list ? arguments.list[0]
                                            : nullptr;
  if (!from) return fail(Result::kInvalidValue, where + "no arguments are given");
  const auto* bytes = static_cast<const unsigned char*>(from);
  EngineLaunch work{.kernel = &kernel,
                    .grid = grid,
                    .threads = block.x,
                    .shared_bytes = shared_bytes,
                    .args = {bytes, bytes + kernel.arg_bytes()}};
  return streams_.enqueue(stream, [this, work = std::move(work)] { return run(work); });
}

Result Driver::run(const EngineLaunch& launch) {
  std::string error = engine_->run(launch);
  if (error.empty()) {
    if (const std::string damage = arena_.damage(); !damage.empty())
      error = launch.kernel->name() + (": " + damage);
  }
  return error.empty() ? Result::kSuccess : fail(Result::kLaunchFailed, std::move(error));
}

Result Driver::allocate(void** data, size_t bytes, Arena::Kind kind) {
  *data = nullptr;
  if (const Result r = streams_.forbidden("allocation"); r != Result::kSuccess) return r;
  if (bytes == 0) return fail(Result::kInvalidValue, "allocation of 0 bytes");
  *data = arena_.allocate(bytes, kind);
  if (*data) return Result::kSuccess;
  return fail(Result::kOutOfMemory, "no room for " + std::to_string(bytes) + " bytes");
}

// Waits for the device, as a GPU's driver does.
Result Driver::release(void* data, Arena::Kind kind) {
  if (!data) return Result::kSuccess;
  if (const Result r = streams_.synchronize_all(); r != Result::kSuccess) return r;
  std::string error = arena_.release(data, kind);
  return error.empty() ? Result::kSuccess : fail(Result::kInvalidValue, std::move(error));
}

// Memory of a capture belongs to the graph: each replay finds it as new memory, and it goes with
// the graph.
Result Driver::allocate_ordered(void** data, size_t bytes, void* stream) {
  *data = nullptr;
  if (const Result r = streams_.check(stream); r != Result::kSuccess) return r;
  if (bytes == 0) return fail(Result::kInvalidValue, "allocation of 0 bytes");
  void* const at = arena_.allocate(bytes, Arena::Kind::kDevice);
  if (!at) return fail(Result::kOutOfMemory, "no room for " + std::to_string(bytes) + " bytes");
  *data = at;
  if (!streams_.capturing(stream)) return Result::kSuccess;
  return streams_.enqueue(
      stream, [=, this] { return fill_unknown(at); }, std::shared_ptr<void>(at, [this](void* gone) {
        arena_.release(gone, Arena::Kind::kDevice);
      }));
}

Result Driver::release_ordered(void* data, void* stream) {
  if (!data) return Result::kSuccess;
  if (!arena_.has(data, Arena::Kind::kDevice))
    return fail(Result::kInvalidValue,
                "freed: " + arena_.describe(reinterpret_cast<uintptr_t>(data)));
  if (streams_.capturing(stream))
    return streams_.enqueue(stream, [=, this] { return fill_unknown(data); });
  return streams_.enqueue(stream, [=, this] {
    std::string error = arena_.release(data, Arena::Kind::kDevice);
    return error.empty() ? Result::kSuccess : fail(Result::kInvalidValue, std::move(error));
  });
}

Result Driver::fill_unknown(void* data) {
  std::memset(arena_.through(data), 0xff, arena_.bytes_at(data));
  return Result::kSuccess;
}

Result Driver::move(void* to, const void* from, size_t bytes) {
  for (const void* side : {static_cast<const void*>(to), from})
    if (std::string error = arena_.fault(side, bytes); !error.empty())
      return fail(Result::kInvalidValue, "copy: " + error);
  std::memmove(arena_.through(to), arena_.through(from), bytes);
  return Result::kSuccess;
}

bool Driver::is_host(const void* address) {
  return !arena_.has(address, Arena::Kind::kDevice) && !arena_.has(address, Arena::Kind::kPinned);
}

// Memory that is not pinned is read before the call returns, and written before it returns.
Result Driver::copy(void* to, const void* from, size_t bytes, void* stream) {
  if (bytes == 0) return Result::kSuccess;
  if (is_host(from) && !streams_.capturing(stream)) {
    const auto* first = static_cast<const char*>(from);
    const auto held = std::make_shared<std::vector<char>>(first, first + bytes);
    return streams_.enqueue(stream, [=, this] { return move(to, held->data(), bytes); });
  }
  const Result r = streams_.enqueue(stream, [=, this] { return move(to, from, bytes); });
  if (r != Result::kSuccess || !is_host(to) || streams_.capturing(stream)) return r;
  return streams_.synchronize(stream);
}

Result Driver::copy_now(void* to, const void* from, size_t bytes) {
  if (const Result r = streams_.synchronize_all(); r != Result::kSuccess) return r;
  return bytes == 0 ? Result::kSuccess : move(to, from, bytes);
}

Result Driver::fill(void* data, unsigned char byte, size_t bytes, void* stream) {
  if (bytes == 0) return Result::kSuccess;
  return streams_.enqueue(stream, [=, this]() -> Result {
    if (std::string error = arena_.fault(data, bytes); !error.empty())
      return fail(Result::kInvalidValue, "fill: " + error);
    if (is_host(data))
      return fail(Result::kInvalidValue, "fill of memory that is not the device's");
    std::memset(arena_.through(data), byte, bytes);
    return Result::kSuccess;
  });
}

}  // namespace attend::simt
