#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attend/backend_plugin.h"
#include "attend/kernel.h"

namespace attend {

// A loaded backend. Native is always the first.
struct Backend {
  std::string name;
  DeviceType device = DeviceType::kNative;
  int32_t device_count = 0;
  std::string status;  // "ok", or why it has no device
  std::string path;    // of the shared object; empty for built-in backends
  const BackendTable* table = nullptr;
};

// A plugin that was found and could not be used.
struct LoadFailure {
  std::string path;
  std::string reason;
};

// What one row answered to one call, in the order in which rows are asked.
struct KernelAnswer {
  const char* kernel = "";
  Status status;
};

// All kernels known to this process, by (operator, device), highest priority first. Built-in tables
// are added by name in registry.cc, never by static initialisers, so that static linking keeps
// them. On first use the plugins libattend_*.so in the folders of ATTEND_BACKEND_PATH
// (colon-separated) and beside this library are loaded, the first of each file name;
// ATTEND_BACKENDS=cuda,... names those to load, ATTEND_BACKENDS=native loads none. A failure among
// them is kept in load_failures(). Safe for concurrent use; spans stay valid for ever.
class ATTEND_API Registry {
 public:
  static Registry& global();
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  void add(const AttentionKernel& row);
  void add(const GdnKernel& row);
  void add(const MergeKernel& row);

  std::span<const AttentionKernel> attention_kernels(OpId op, DeviceType device) const;
  std::span<const GdnKernel> gdn_kernels(DeviceType device) const;
  std::span<const MergeKernel> merge_kernels(DeviceType device) const;

  // The rows of (op, device) that take these arguments.
  template <class Args, class Params>
  std::span<const KernelEntry<Args, Params>> kernels(OpId op, DeviceType device) const;

  // The first row that takes the call.
  //   errors   kUnsupported with every row asked and its reason; kBackendUnavailable without rows
  template <class Args, class Params>
  const KernelEntry<Args, Params>& select(OpId op, const Args& args, const Params& params,
                                          const Device& device) const;

  // What every row of (op, device) answers for this call.
  template <class Args, class Params>
  std::vector<KernelAnswer> explain(OpId op, const Args& args, const Params& params,
                                    const Device& device) const;

  // Loads a shared object that exports attend_backend_v1 and adds its rows. It stays loaded for the
  // process.
  //   errors   kBackendUnavailable: not found, no such symbol, built against other headers
  void load_backend(const std::string& path);

  std::vector<Backend> backends() const;
  std::vector<LoadFailure> load_failures() const;

  // The table of a device's plugin.
  //   errors   kBackendUnavailable with what to do, if none is loaded
  const BackendTable& backend(DeviceType device) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The highest instruction set that native rows may use here, ATTEND_ISA considered: "avx512_bf16".
ATTEND_API const char* native_isa();

}  // namespace attend
