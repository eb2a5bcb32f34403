#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "ops/registry_state.h"

namespace attend {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kBackendUnavailable, "load_backend: " + path + " " + why);
}

// Sizes that tell the two sides' headers apart, as the message shows them.
std::string describe(const AbiSizes& s) {
  std::string text = "abi " + std::to_string(s.version) + ", sizes";
  for (uint32_t size : {s.backend_table, s.kernel_entry, s.attention_args, s.attention_params,
                        s.gdn_args, s.gdn_params, s.merge_args, s.exec_context, s.error_word})
    text += " " + std::to_string(size);
  return text;
}

bool same(const AbiSizes& a, const AbiSizes& b) {
  return a.version == b.version && a.backend_table == b.backend_table &&
         a.kernel_entry == b.kernel_entry && a.attention_args == b.attention_args &&
         a.attention_params == b.attention_params && a.gdn_args == b.gdn_args &&
         a.gdn_params == b.gdn_params && a.merge_args == b.merge_args &&
         a.exec_context == b.exec_context && a.error_word == b.error_word;
}

template <class Row>
void check_rows(const std::string& path, const BackendTable& table, const Row* rows,
                uint32_t count) {
  if (count > 0 && rows == nullptr)
    refuse(path, "names " + std::to_string(count) + " kernels and gives no table of them");
  for (uint32_t i = 0; i < count; ++i) {
    const Row& row = rows[i];
    const std::string which = "kernel " + std::to_string(i);
    if (const std::string fault = row_fault(row); !fault.empty()) refuse(path, which + " " + fault);
    if (row.device != table.device)
      refuse(path, which + " (" + row.name + ") is for " + name(row.device) + ", expected " +
                       name(table.device) + " like its table");
  }
}

// The words of a list like "cuda,rocm".
bool lists(const std::string& list, char separator, const std::string& word) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(separator, at), list.size());
    if (list.compare(at, end - at, word) == 0) return true;
    at = end + 1;
  }
  return false;
}

// What a plugin's file is called between libattend_ and .so; empty for other files.
std::string plugin_name(const std::string& file) {
  const std::string_view prefix = "libattend_", suffix = ".so";
  if (!file.starts_with(prefix) || !file.ends_with(suffix)) return "";
  return file.substr(prefix.size(), file.size() - prefix.size() - suffix.size());
}

bool wanted(const std::string& name) {
  const char* only = std::getenv("ATTEND_BACKENDS");
  return !name.empty() && (only == nullptr || *only == '\0' || lists(only, ',', name));
}

// A file that an earlier folder has, too, is not added again.
void add_plugins_of(const fs::path& folder, std::vector<fs::path>& found) {
  std::error_code ignored;
  std::vector<fs::path> here;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    const fs::path file = entry->path().filename();
    const bool known = std::any_of(found.begin(), found.end(),
                                   [&](const fs::path& f) { return f.filename() == file; });
    if (wanted(plugin_name(file.string())) && !known) here.push_back(entry->path());
  }
  std::sort(here.begin(), here.end());
  found.insert(found.end(), here.begin(), here.end());
}

}  // namespace

std::vector<std::string> find_plugins() {
  std::vector<fs::path> found;
  if (const char* folders = std::getenv("ATTEND_BACKEND_PATH"); folders != nullptr) {
    const std::string list = folders;
    for (size_t at = 0; at <= list.size();) {
      const size_t colon = std::min(list.find(':', at), list.size());
      if (colon > at) add_plugins_of(list.substr(at, colon - at), found);
      at = colon + 1;
    }
  }
  Dl_info self{};
  std::error_code ignored;  // a working directory that is gone leaves the path as it is
  if (dladdr(reinterpret_cast<const void*>(&find_plugins), &self) != 0 && self.dli_fname != nullptr)
    add_plugins_of(fs::absolute(self.dli_fname, ignored).parent_path(), found);
  return {found.begin(), found.end()};
}

const BackendTable& open_plugin(const std::string& path) {
  // The handle stays open for the process: rows and messages live in it.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    refuse(path, std::string("cannot be opened: ") + (why != nullptr ? why : "no reason given"));
  }
  const auto entry = reinterpret_cast<BackendEntryPoint>(dlsym(handle, kBackendEntrySymbol));
  if (entry == nullptr)
    refuse(path, std::string("does not export ") + kBackendEntrySymbol +
                     ", expected a backend plugin of attend");
  const BackendTable* table = entry();
  if (table == nullptr) refuse(path, "gave no backend table");
  if (!same(table->abi, abi_sizes()))
    refuse(path, "was built against other headers (" + describe(table->abi) + "; this library: " +
                     describe(abi_sizes()) + "); rebuild it against this version");
  if (table->name == nullptr || table->device_count == nullptr || table->status == nullptr ||
      table->device_name == nullptr || table->copy == nullptr || table->synchronize == nullptr)
    refuse(path,
           "gave a table with a null field, expected name, device_count, status, device_name, copy "
           "and synchronize");
  if ((table->allocator.allocate == nullptr) != (table->allocator.deallocate == nullptr))
    refuse(path, "gave an allocator with one of its two functions, expected both or neither");
  if (!is_known(table->device))
    refuse(path, "is for device " + std::to_string(static_cast<int>(table->device)) +
                     ", expected native, cuda or rocm");
  check_rows(path, *table, table->attention_kernels, table->num_attention_kernels);
  check_rows(path, *table, table->gdn_kernels, table->num_gdn_kernels);
  check_rows(path, *table, table->merge_kernels, table->num_merge_kernels);
  return *table;
}

}  // namespace attend
