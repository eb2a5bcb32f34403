#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "attend/registry.h"

namespace attend {

inline size_t device_slot(DeviceType type) {
  return type == DeviceType::kNative ? 0 : type == DeviceType::kCuda ? 1 : 2;
}
inline bool is_known(DeviceType type) {
  return type == DeviceType::kNative || type == DeviceType::kCuda || type == DeviceType::kRocm;
}

// The backend of a device that is there.
//   errors   kBackendUnavailable: no such plugin or device, with the reason
const BackendTable& backend_with(Device device, const char* where);

// Whether rows of this kind may implement an operator: gdn and merge have arguments of their own.
inline bool serves(const AttentionKernel&, OpId op) {
  return op < OpId::kCount && op != OpId::kGdn && op != OpId::kMerge;
}
inline bool serves(const GdnKernel&, OpId op) { return op == OpId::kGdn; }
inline bool serves(const MergeKernel&, OpId op) { return op == OpId::kMerge; }

// What is wrong with a row, in words that follow its place ("kernel 3 "); empty if nothing is.
template <class Row>
std::string row_fault(const Row& row) {
  if (row.name == nullptr || row.summary == nullptr || row.available == nullptr ||
      row.supports == nullptr || row.workspace_bytes == nullptr || row.run == nullptr)
    return "has a null field, expected name, summary and four functions";
  const std::string which = std::string("(") + row.name + ") is ";
  if (!serves(row, row.op))
    return which + "of operator " + std::to_string(static_cast<int>(row.op)) + " (" + name(row.op) +
           "), expected one that rows of its kind serve";
  if (!is_known(row.device))
    return which + "for device " + std::to_string(static_cast<int>(row.device)) +
           ", expected native, cuda or rocm";
  return "";
}

// Rows of one kind, published as immutable lists: readers take no lock, and a list that a reader
// still holds outlives its replacement (loads are rare, so the old lists are simply kept).
template <class Row>
class RowLists {
 public:
  std::span<const Row> get(OpId op, DeviceType device) const {
    if (op >= OpId::kCount || !is_known(device)) return {};
    const std::vector<Row>* list = slot(op, device).load(std::memory_order_acquire);
    return list == nullptr ? std::span<const Row>{} : std::span<const Row>(*list);
  }
  // The caller holds the registry's mutex and has asked row_fault().
  void add(const Row& row) {
    auto& published = slot(row.op, row.device);
    const std::vector<Row>* old = published.load(std::memory_order_relaxed);
    auto list = old == nullptr ? std::make_unique<std::vector<Row>>()
                               : std::make_unique<std::vector<Row>>(*old);
    const auto after =
        std::upper_bound(list->begin(), list->end(), row,
                         [](const Row& a, const Row& b) { return a.priority > b.priority; });
    list->insert(after, row);
    published.store(list.get(), std::memory_order_release);
    kept_.push_back(std::move(list));
  }

 private:
  using Slot = std::atomic<const std::vector<Row>*>;
  Slot& slot(OpId op, DeviceType device) {
    return slots_[static_cast<size_t>(op)][device_slot(device)];
  }
  const Slot& slot(OpId op, DeviceType device) const {
    return slots_[static_cast<size_t>(op)][device_slot(device)];
  }

  std::array<std::array<Slot, 3>, static_cast<size_t>(OpId::kCount)> slots_{};
  std::vector<std::unique_ptr<const std::vector<Row>>> kept_;
};

struct Registry::State {
  mutable std::mutex mutex;  // guards everything below except readers of the row lists
  RowLists<AttentionKernel> attention;
  RowLists<GdnKernel> gdn;
  RowLists<MergeKernel> merge;
  std::vector<Backend> backends;
  std::vector<LoadFailure> failures;

  // The table of a device's first plugin; null if none is loaded.
  const BackendTable* table(DeviceType device) const {
    const std::lock_guard lock(mutex);
    for (const Backend& known : backends)
      if (known.device == device && known.table != nullptr) return known.table;
    return nullptr;
  }
};

// The plugins to load on first use (registry.h says where they are looked for).
std::vector<std::string> find_plugins();

// Opens a plugin and checks that it was built against these headers.
//   errors   kBackendUnavailable
const BackendTable& open_plugin(const std::string& path);

}  // namespace attend
