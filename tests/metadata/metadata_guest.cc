// What an engine's plugin sees of its host's step.
#include "attend/error.h"
#include "attend/metadata.h"

extern "C" ATTEND_API const attend::AttnMetadata* guest_fetch() {
  try {
    return &attend::fetch_attn_metadata();
  } catch (const attend::Error&) {
    return nullptr;
  }
}

extern "C" ATTEND_API bool guest_is_warming_up() { return attend::is_warming_up(); }

// Opens a scope here and asks the host, which must see it as its own.
extern "C" ATTEND_API const attend::AttnMetadata* guest_scope(
    const attend::AttnMetadata* metadata, const attend::AttnMetadata* (*ask_host)()) {
  const attend::MetadataScope scope(*metadata);
  return ask_host();
}
