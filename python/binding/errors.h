#pragma once
#include <nanobind/nanobind.h>

namespace attend::python {

// attend::Error becomes the class of attend/_errors.py that stands for its code.
void bind_errors(nanobind::module_& m);

}  // namespace attend::python
