#include "attend/registry.h"

#include <nanobind/stl/string.h>

#include <string>

#include "attend/parallel.h"
#include "call.h"

namespace attend::python {
namespace {

namespace nb = nanobind;

template <class Rows>
void add_rows(nb::list& list, const nb::object& type, const Rows& rows) {
  for (const auto& row : rows) {
    const Status s = row.available(Device{row.device, 0});
    list.append(type(name(row.op), name(row.device), row.name, row.summary, row.priority,
                     static_cast<bool>(s), to_string(s)));
  }
}

nb::list kernels() {
  const Registry& registry = Registry::global();
  const nb::object type = nb::module_::import_("attend._results").attr("Kernel");
  nb::list list;
  for (int op = 0; op < static_cast<int>(OpId::kCount); ++op)
    for (DeviceType device : {DeviceType::kNative, DeviceType::kCuda, DeviceType::kRocm}) {
      const auto id = static_cast<OpId>(op);
      if (id == OpId::kGdn)
        add_rows(list, type, registry.gdn_kernels(device));
      else if (id == OpId::kMerge)
        add_rows(list, type, registry.merge_kernels(device));
      else
        add_rows(list, type, registry.attention_kernels(id, device));
    }
  return list;
}

nb::list backends() {
  const nb::object type = nb::module_::import_("attend._results").attr("Backend");
  nb::list list;
  for (const Backend& b : Registry::global().backends())
    list.append(type(b.name, name(b.device), b.device_count, b.status, b.path));
  return list;
}

nb::list load_failures() {
  nb::list list;
  for (const LoadFailure& f : Registry::global().load_failures())
    list.append(nb::make_tuple(f.path, f.reason));
  return list;
}

}  // namespace

void bind_registry(nb::module_& m) {
  m.def("kernels", &kernels,
        "Every kernel row of this process, per operator and device in the order in which rows are "
        "asked.");
  m.def("backends", &backends, "The loaded backends; native is the first.");
  m.def("load_failures", &load_failures,
        "Plugins that were found and could not be used: (path, reason).");
  m.def("load_backend", [](const std::string& path) {
    const nb::gil_scoped_release others_may_run;
    Registry::global().load_backend(path);
  });
  m.def("native_isa", &native_isa,
        "The highest instruction set that native kernels may use here, ATTEND_ISA considered.");
  m.def("num_threads", &num_threads,
        "How many threads a native call may use, the caller's included.");
  m.def("set_num_threads", &set_num_threads, nb::arg("count"),
        "Sets how many threads a native call may use; ValueError if count < 1.");
}

}  // namespace attend::python
