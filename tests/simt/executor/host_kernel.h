#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

// The kernels that were compiled for execution on the host, whatever their hardware.
namespace attend::simt {

struct Lane;

// One kernel instance; its file defines one object of static storage, which enters itself in the
// list of the library that it is linked into.
class KernelEntry {
 public:
  using Enter = void (*)(const KernelEntry&, Lane&, const void* args);
  KernelEntry(const char* name, int threads, size_t arg_bytes, int warp, Enter enter);
  KernelEntry(const KernelEntry&) = delete;
  KernelEntry& operator=(const KernelEntry&) = delete;

  const char* name() const { return name_; }
  int threads() const { return threads_; }         // of a block
  size_t arg_bytes() const { return arg_bytes_; }  // of the launch's arguments
  int warp() const { return warp_; }               // threads that run in step
  const KernelEntry* next() const { return next_; }
  void call(Lane& lane, const void* args) const { enter_(*this, lane, args); }

 private:
  const char* name_;
  int threads_;
  size_t arg_bytes_;
  int warp_;
  Enter enter_;
  const KernelEntry* next_;
};

const KernelEntry* first_kernel();
const KernelEntry* find_kernel(std::string_view name);  // null if there is none

}  // namespace attend::simt
