#include "errors.h"

#include "attend/error.h"

namespace attend::python {

void bind_errors(nanobind::module_&) {
  nanobind::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Error& e) {
      try {
        const nanobind::object kind =
            nanobind::module_::import_("attend._errors").attr("BY_CODE")[name(e.code())];
        PyErr_SetString(kind.ptr(), e.what());
      } catch (nanobind::python_error& import_failed) {
        import_failed.restore();
      }
    }
  });
}

}  // namespace attend::python
