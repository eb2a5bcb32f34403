#include "attend/registry.h"

#include "ops/registry_state.h"

namespace attend {
namespace native {
void add_kernels(Registry& registry);  // backends/native/kernels.cc
}

namespace {

std::string how_to_get(DeviceType device) {
  const std::string plugin = std::string("libattend_") + name(device) + ".so";
  return "; put " + plugin +
         " beside libattend, name its folder in ATTEND_BACKEND_PATH, or call "
         "Registry::load_backend";
}

[[noreturn]] void throw_no_backend(DeviceType device) {
  if (!is_known(device))
    throw Error(ErrorCode::kInvalidArgument, "device type is " +
                                                 std::to_string(static_cast<int>(device)) +
                                                 ", expected native, cuda or rocm");
  throw Error(ErrorCode::kBackendUnavailable,
              std::string("no ") + name(device) + " backend is loaded" + how_to_get(device));
}

[[noreturn]] void throw_no_device(const std::string& where, const BackendTable& table,
                                  const Device& device) {
  const Status status = table.status();
  throw Error(ErrorCode::kBackendUnavailable,
              where + ": device is " + to_string(device) + ", expected one of " +
                  std::to_string(table.device_count()) + " " + name(device.type) + " devices" +
                  (status ? "" : "; " + to_string(status)));
}

template <class Row>
void check_row(const Row& row) {
  if (const std::string fault = row_fault(row); !fault.empty())
    throw Error(ErrorCode::kInvalidArgument, "Registry::add: row " + fault);
}

}  // namespace

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

// Never destroyed: kernels may still be asked for while other statics go.
Registry& Registry::global() {
  static Registry& registry = *[] {
    auto* r = new Registry;
    native::add_kernels(*r);  // one line per built-in table
    r->state_->backends.push_back({"native", DeviceType::kNative, 1, "ok", "", nullptr});
    for (const std::string& path : find_plugins()) {
      try {
        r->load_backend(path);
      } catch (const Error& e) {
        r->state_->failures.push_back({path, e.what()});
      }
    }
    return r;
  }();
  return registry;
}

void Registry::add(const AttentionKernel& row) {
  check_row(row);
  const std::lock_guard lock(state_->mutex);
  state_->attention.add(row);
}
void Registry::add(const GdnKernel& row) {
  check_row(row);
  const std::lock_guard lock(state_->mutex);
  state_->gdn.add(row);
}
void Registry::add(const MergeKernel& row) {
  check_row(row);
  const std::lock_guard lock(state_->mutex);
  state_->merge.add(row);
}

std::span<const AttentionKernel> Registry::attention_kernels(OpId op, DeviceType device) const {
  return state_->attention.get(op, device);
}
std::span<const GdnKernel> Registry::gdn_kernels(DeviceType device) const {
  return state_->gdn.get(OpId::kGdn, device);
}
std::span<const MergeKernel> Registry::merge_kernels(DeviceType device) const {
  return state_->merge.get(OpId::kMerge, device);
}

template <>
std::span<const AttentionKernel> Registry::kernels(OpId op, DeviceType device) const {
  return attention_kernels(op, device);
}
template <>
std::span<const GdnKernel> Registry::kernels(OpId, DeviceType device) const {
  return gdn_kernels(device);
}
template <>
std::span<const MergeKernel> Registry::kernels(OpId, DeviceType device) const {
  return merge_kernels(device);
}

template <class Args, class Params>
const KernelEntry<Args, Params>& Registry::select(OpId op, const Args& args, const Params& params,
                                                  const Device& device) const {
  const auto rows = kernels<Args, Params>(op, device.type);
  // Before any row is asked: a row need not know how many devices there are.
  const BackendTable* table =
      device.type == DeviceType::kNative ? nullptr : state_->table(device.type);
  if (table != nullptr && (device.index < 0 || device.index >= table->device_count()))
    throw_no_device(name(op), *table, device);
  for (const auto& row : rows)
    if (row.supports(args, params, device)) return row;

  if (rows.empty() && table == nullptr && device.type != DeviceType::kNative)
    throw_no_backend(device.type);
  if (rows.empty())
    throw Error(ErrorCode::kUnsupported, std::string(name(op)) + ": no " + name(device.type) +
                                             " kernel of this operator is built");
  std::string why =
      std::string(name(op)) + ": no " + name(device.type) + " kernel takes this call:";
  for (const auto& row : rows)
    why += std::string("\n  ") + row.name + ": " + to_string(row.supports(args, params, device));
  throw Error(ErrorCode::kUnsupported, why);
}

template <class Args, class Params>
std::vector<KernelAnswer> Registry::explain(OpId op, const Args& args, const Params& params,
                                            const Device& device) const {
  std::vector<KernelAnswer> answers;
  for (const auto& row : kernels<Args, Params>(op, device.type))
    answers.push_back({row.name, row.supports(args, params, device)});
  return answers;
}

// The three kinds of rows that there are.
#define ATTEND_ROWS_OF(Args, Params)                                     \
  template ATTEND_API const KernelEntry<Args, Params>& Registry::select( \
      OpId, const Args&, const Params&, const Device&) const;            \
  template ATTEND_API std::vector<KernelAnswer> Registry::explain(       \
      OpId, const Args&, const Params&, const Device&) const;
ATTEND_ROWS_OF(AttentionArgs, AttentionParams)
ATTEND_ROWS_OF(GdnArgs, GdnParams)
ATTEND_ROWS_OF(MergeArgs, MergeParams)
#undef ATTEND_ROWS_OF

void Registry::load_backend(const std::string& path) {
  const BackendTable& table = open_plugin(path);
  const std::lock_guard lock(state_->mutex);
  for (const Backend& known : state_->backends)
    if (known.table == &table) return;  // the same object again: its rows are here
  for (uint32_t i = 0; i < table.num_attention_kernels; ++i)
    state_->attention.add(table.attention_kernels[i]);
  for (uint32_t i = 0; i < table.num_gdn_kernels; ++i) state_->gdn.add(table.gdn_kernels[i]);
  for (uint32_t i = 0; i < table.num_merge_kernels; ++i) state_->merge.add(table.merge_kernels[i]);
  const Status status = table.status();
  state_->backends.push_back({table.name, table.device, table.device_count(),
                              status ? "ok" : to_string(status), path, &table});
}

std::vector<Backend> Registry::backends() const {
  const std::lock_guard lock(state_->mutex);
  return state_->backends;
}
std::vector<LoadFailure> Registry::load_failures() const {
  const std::lock_guard lock(state_->mutex);
  return state_->failures;
}

const BackendTable& backend_with(Device device, const char* where) {
  const BackendTable& backend = Registry::global().backend(device.type);
  if (device.index >= 0 && device.index < backend.device_count()) return backend;
  throw_no_device(where, backend, device);
}

const BackendTable& Registry::backend(DeviceType device) const {
  const BackendTable* table = state_->table(device);
  if (table == nullptr) throw_no_backend(device);
  return *table;
}

}  // namespace attend
