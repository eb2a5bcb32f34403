#include "backends/native/onednn.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "backends/native/cpu_features.h"

namespace attend::native {
namespace {

constexpr const char* kFile = "libdnnl.so.3";

Status unsupported(OneDnn& dnn, std::string words) {
  dnn.why = std::move(words);  // a Status holds text that lives as long as the process
  return {ErrorCode::kUnsupported, dnn.why.c_str(), 0};
}

// Opens a library, or adds to `tried` where it was looked for and why it was not taken.
void* open(const std::string& place, const std::string& file, std::string& tried) {
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return handle;
  const char* why = dlerror();
  tried +=
      (tried.empty() ? "" : "; ") + place + " (" + (why != nullptr ? why : "no reason given") + ")";
  return nullptr;
}

void* find(std::string& tried) {
  if (const char* named = std::getenv("ATTEND_ONEDNN_LIBRARY"); named != nullptr && *named != '\0')
    return open("ATTEND_ONEDNN_LIBRARY", named, tried);
  if (void* handle = open("the run path and the system's folders", kFile, tried)) return handle;
  Dl_info self{};
  std::error_code ignored;
  if (dladdr(reinterpret_cast<const void*>(&find), &self) == 0 || self.dli_fname == nullptr)
    return nullptr;
  const std::filesystem::path folder =
      std::filesystem::absolute(self.dli_fname, ignored).parent_path();
  return open("beside libattend", (folder / kFile).string(), tried);
}

template <class F>
bool look_up(void* handle, const char* symbol, F& f) {
  f = reinterpret_cast<F>(dlsym(handle, symbol));
  return f != nullptr;
}

// The threads of this build of oneDNN and how they are held back.
Status set_threads(OneDnn& dnn, void* handle, unsigned runtime) {
  switch (runtime) {
    case DNNL_RUNTIME_SEQ: return {};
    case DNNL_RUNTIME_OMP:
      if (look_up(handle, "omp_get_max_threads", dnn.omp_get_max_threads) &&
          look_up(handle, "omp_set_num_threads", dnn.omp_set_num_threads))
        return {};
      return unsupported(dnn,
                         "oneDNN was built with OpenMP and omp_set_num_threads is not to be found");
    case DNNL_RUNTIME_TBB:
    case DNNL_RUNTIME_SYCL: dnn.own_threads = true; return {};
    default:
      return {ErrorCode::kUnsupported,
              "oneDNN's CPU runtime is {}, expected 1 (sequential), 2 (OpenMP), 4 (TBB) or 512 "
              "(SYCL)",
              runtime};
  }
}

// ATTEND_ISA is a ceiling for oneDNN's own code, too. It must be set before the first primitive.
Status set_isa(const OneDnn& dnn) {
  if (const Status s = available(Isa::kAvx2); !s) return s;
  if (std::getenv("ATTEND_ISA") == nullptr) return {};
  dnn.dnnl_set_max_cpu_isa(available(Isa::kAvx512Bf16) ? dnnl_cpu_isa_avx512_core_bf16
                           : available(Isa::kAvx512)   ? dnnl_cpu_isa_avx512_core
                                                       : dnnl_cpu_isa_avx2);
  return {};
}

Status open_onednn(OneDnn& dnn) {
  std::string tried;
  void* handle = find(tried);
  if (handle == nullptr)
    return unsupported(dnn,
                       std::string(kFile) + " (oneDNN 3.2 or newer) is not to be opened: " + tried);
#define ATTEND_DNNL_LOOK_UP(f)                               \
  if (!look_up(handle, #f, dnn.f))                           \
    return unsupported(dnn, std::string("the ") + kFile +    \
                                " that was found has no " #f \
                                ", expected oneDNN 3.2 or newer with its graph interface");
  ATTEND_DNNL_FUNCTIONS(ATTEND_DNNL_LOOK_UP)
#undef ATTEND_DNNL_LOOK_UP
  if (const Status s = set_threads(dnn, handle, dnn.dnnl_version()->cpu_runtime); !s) return s;
  if (const Status s = set_isa(dnn); !s) return s;
  if (const dnnl_status_t s = dnn.dnnl_engine_create(&dnn.engine, dnnl_cpu, 0); s != dnnl_success)
    return {ErrorCode::kUnsupported, "oneDNN gives no CPU engine (its status {})",
            static_cast<int64_t>(s)};
  return {};
}

}  // namespace

const OneDnn& OneDnn::get() {
  static const OneDnn& dnn = *[] {
    auto* d = new OneDnn;  // never destroyed, like the library, which stays open
    d->status = open_onednn(*d);
    return d;
  }();
  return dnn;
}

}  // namespace attend::native
