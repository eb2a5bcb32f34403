#pragma once
#include "attend/backend_plugin.h"

// The memory functions of the backend table (backend_plugin.h says what they mean).
namespace attend::gpu {

void* allocate(void* user, Device device, uint64_t bytes, uint64_t alignment, void* stream);
void deallocate(void* user, Device device, void* data, uint64_t bytes, void* stream);
void* allocate_pinned(void* user, Device device, uint64_t bytes, uint64_t alignment, void* stream);
void deallocate_pinned(void* user, Device device, void* data, uint64_t bytes, void* stream);
Status copy(void* to, Device to_device, const void* from, Device from_device, uint64_t bytes,
            void* stream);
Status synchronize(Device device, void* stream);
ErrorWord* error_word(Device device);

}  // namespace attend::gpu
