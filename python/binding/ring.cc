#include "attend/ring.h"

#include <nanobind/stl/string.h>

#include <string>

#include "call.h"
#include "value.h"

namespace attend::python {
namespace {

nb::tuple cut(const std::string& placement, int64_t length, int32_t rank, int32_t ranks) {
  const auto spans = ring_cut(ring_placement("ring_cut", placement), length, rank, ranks);
  nb::list ranges;
  for (const RingSpan& span : spans)
    if (span.count > 0) ranges.append(nb::make_tuple(span.first, span.first + span.count));
  return nb::tuple(ranges);
}

}  // namespace

void bind_ring(nb::module_& m) {
  nb::class_<RingTransport>(m, "RingTransport",
                            "One rank's way to its neighbours; a call of ring takes it as "
                            "ring_transport.")
      .def_prop_ro("rank", &RingTransport::rank)
      .def_prop_ro("size", &RingTransport::size);
  nb::class_<InProcessRing>(
      m, "InProcessRing",
      "A ring of threads in this process. Every rank calls ring in a thread of its own, with its\n"
      "rows and ring_transport=ring.transport(rank); the calls run beside one another.")
      .def(nb::init<int32_t>(), nb::arg("ranks"))
      .def_prop_ro("size", &InProcessRing::size)
      .def("transport", &InProcessRing::transport, nb::arg("rank"),
           nb::rv_policy::reference_internal, "The transport of a rank, 0 to size - 1.")
      .def(
          "abort", [](InProcessRing& ring, const std::string& why) { ring.abort(why.c_str()); },
          nb::arg("why"), "Lets every rank go; their calls raise DeviceError with the reason.")
      .def("reset", &InProcessRing::reset,
           "Makes an aborted ring fit for use again; no rank may be inside a call.");
  m.def("ring_cut", &cut, nb::arg("placement"), nb::arg("length"), nb::arg("rank"),
        nb::arg("ranks"),
        "The rows of a sequence that a rank holds, as (begin, end) ranges in their local order;\n"
        "placement is 'contiguous' or 'zigzag'.");
}

}  // namespace attend::python
