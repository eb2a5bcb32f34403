#pragma once

// Marks what leaves the shared library; everything else is hidden.
#if defined(_WIN32)
#define ATTEND_API
#else
#define ATTEND_API __attribute__((visibility("default")))
#endif
