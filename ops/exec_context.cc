#include <string>
#include <utility>

#include "attend/kernel.h"
#include "attend/registry.h"
#include "ops/check/index_words.h"
#include "ops/registry_state.h"

namespace attend {
namespace {

void require(const Status& status) {
  if (!status) throw Error(status.code, "ExecContext::check: " + to_string(status));
}

}  // namespace

void ExecContext::check() const {
  ErrorWord word;
  const ErrorWord nothing;
  if (device.type == DeviceType::kNative) {
    if (error_word != nullptr) word = std::exchange(*error_word, nothing);
  } else {
    const BackendTable& backend = backend_with(device, "ExecContext::check");
    ErrorWord* at = error_word;
    if (at == nullptr && backend.error_word != nullptr) at = backend.error_word(device);
    if (at != nullptr) require(backend.copy(&word, Device{}, at, device, sizeof word, stream));
    require(backend.synchronize(device, stream));
    if (word.code != 0) {
      require(backend.copy(at, device, &nothing, Device{}, sizeof nothing, stream));
      require(backend.synchronize(device, stream));  // until then the copy may read `nothing`
    }
  }
  if (word.code == 0) return;
  throw Error(static_cast<ErrorCode>(word.code), "ExecContext::check: " + index_words(word) +
                                                     "; the request that holds it was skipped");
}

}  // namespace attend
