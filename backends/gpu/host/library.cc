// Opening a vendor's library, or in test builds the stand-in for it.
#include "backends/gpu/host/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "backends/gpu/host/driver.h"
#include "backends/gpu/host/failure.h"

namespace attend::gpu::driver {
namespace {

bool stand_in = false;

// Test builds name the stand-in's file; users' builds know of none.
const char* stand_in_path() {
#if defined(ATTEND_STAND_IN)
  const char* wanted = std::getenv("ATTEND_SIMT");
  if (wanted != nullptr && std::string(wanted) == "1") return ATTEND_STAND_IN;
#endif
  return nullptr;
}

Status unavailable(const std::string& why) { return refused(ErrorCode::kBackendUnavailable, why); }

}  // namespace

bool is_stand_in() { return stand_in; }

Status bind(std::initializer_list<const char*> files, const char* missing,
            std::initializer_list<Symbol> symbols) {
  void* library = nullptr;
  std::string opened, tried;
  if (const char* path = stand_in_path(); path != nullptr) {
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return unavailable(std::string("ATTEND_SIMT is 1 and ") + dlerror());
    stand_in = true;
    opened = path;
  }
  std::string why;
  for (const char* name : files) {
    if (library != nullptr) break;
    tried += (tried.empty() ? "" : " or ") + std::string(name);
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) {
      opened = name;
    } else if (const std::string reason = dlerror();
               reason.find("No such file") == std::string::npos) {
      why = reason;  // there is one and it cannot be opened: that is what to tell
    }
  }
  if (library == nullptr)
    return unavailable(why.empty() ? tried + " is not found: " + missing
                                   : "the driver cannot be opened: " + why);
  for (const Symbol& symbol : symbols) {
    *symbol.function = dlsym(library, symbol.name);
    if (*symbol.function == nullptr && symbol.required)
      return unavailable(opened + " has no " + symbol.name + ", expected a newer driver");
  }
  return {};
}

}  // namespace attend::gpu::driver
