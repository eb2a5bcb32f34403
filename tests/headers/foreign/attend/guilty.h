#pragma once
// What a public header must not do; reachable.cmake has to find it.
#include "../vendor/vendor_runtime.h"
