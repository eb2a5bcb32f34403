#include <string>
#include <utility>

#include "attend/kernel.h"
#include "attend/registry.h"

namespace attend {
namespace {

const char* name(ErrorArgument argument) {
  switch (argument) {
    case ErrorArgument::kNone: return "an index";
    case ErrorArgument::kCuSeqlensQ: return "cu_seqlens_q";
    case ErrorArgument::kCuSeqlensK: return "cu_seqlens_k";
    case ErrorArgument::kSequsedQ: return "seqused_q";
    case ErrorArgument::kSequsedK: return "seqused_k";
    case ErrorArgument::kBlockTable: return "block_table";
    case ErrorArgument::kKvIndptr: return "kv_indptr";
    case ErrorArgument::kKvIndices: return "kv_indices";
    case ErrorArgument::kKvLastPageLen: return "kv_last_page_len";
    case ErrorArgument::kContextLens: return "context_lens";
    case ErrorArgument::kSlotMapping: return "slot_mapping";
    case ErrorArgument::kStart: return "start";
    case ErrorArgument::kEnd: return "end";
    case ErrorArgument::kStateIndices: return "state_indices";
  }
  return "an index";
}

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
    const BackendTable& backend = Registry::global().backend(device.type);
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
  throw Error(static_cast<ErrorCode>(word.code),
              std::string("ExecContext::check: ") +
                  name(static_cast<ErrorArgument>(word.argument)) + "[" +
                  std::to_string(word.position) + "] is " + std::to_string(word.value) +
                  ", expected an index within its tensor; the request that holds it was skipped");
}

}  // namespace attend
