#pragma once
#include <nanobind/nanobind.h>

namespace attend::python {

void bind_calls(nanobind::module_& m);     // call, explain, supports, known_words
void bind_ring(nanobind::module_& m);      // InProcessRing, RingTransport, ring_cut
void bind_engine(nanobind::module_& m);    // Engine, strategies; where the engine is built
void bind_registry(nanobind::module_& m);  // kernels, backends, load_backend, threads

}  // namespace attend::python
