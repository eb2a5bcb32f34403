#pragma once

// Signals that a kernel's instruction raises become errors of its launch.
namespace attend::simt {

// For the calling host thread, before it runs kernels. Signals raised elsewhere go where they went.
void catch_traps();

}  // namespace attend::simt
