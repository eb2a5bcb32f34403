#include <utility>

#include "attend/error.h"
#include "attend/metadata.h"

#if defined(__GNUG__)
#include <cxxabi.h>

#include <cstdlib>
#endif

namespace attend {
namespace {

// In this one file: an inline variable in the header, with hidden visibility, would be a different
// one in every shared object. Threads that a kernel starts do not inherit it; only the attention
// layer fetches.
struct Slot {
  const AttnMetadata* current = nullptr;
  FetchFn fetch;
  bool warming_up = false;
};
thread_local Slot t_slot;

std::string readable(const std::type_info& type) {
#if defined(__GNUG__)
  int status = 0;
  if (char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status); text != nullptr) {
    std::string result = text;
    std::free(text);
    return result;
  }
#endif
  return type.name();
}

}  // namespace

const AttnMetadata& fetch_attn_metadata() {
  if (t_slot.fetch) return t_slot.fetch();
  if (t_slot.current != nullptr) return *t_slot.current;
  throw Error(ErrorCode::kNoMetadata,
              "fetch_attn_metadata: no metadata is current on this thread, expected a "
              "MetadataScope around the step");
}

void set_fetch_fn_for_attn_metadata(FetchFn fetch) { t_slot.fetch = std::move(fetch); }

// An inner scope's own metadata counts, so a function installed outside is set aside until the
// scope ends.
MetadataScope::MetadataScope(const AttnMetadata& metadata) : previous_(t_slot.current) {
  metadata.validate();
  previous_fetch_ = std::exchange(t_slot.fetch, nullptr);
  t_slot.current = &metadata;
}

MetadataScope::~MetadataScope() {
  t_slot.current = previous_;
  t_slot.fetch = std::move(previous_fetch_);
}

void set_warming_up(bool warming_up) noexcept { t_slot.warming_up = warming_up; }
bool is_warming_up() noexcept { return t_slot.warming_up; }
void reset_warming_up() noexcept { t_slot.warming_up = false; }

namespace detail {
void throw_metadata_type(std::string_view current, const std::type_info& wanted) {
  throw Error(ErrorCode::kInvalidArgument, "fetch_attn_metadata_as: current metadata is '" +
                                               std::string(current) + "', expected " +
                                               readable(wanted));
}
}  // namespace detail

}  // namespace attend
