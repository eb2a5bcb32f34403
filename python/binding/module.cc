#include <nanobind/nanobind.h>

#include "call.h"
#include "errors.h"
#include "output.h"

NB_MODULE(_attend, m) {
  using namespace attend::python;
  m.attr("__version__") = ATTEND_VERSION;
  bind_errors(m);
  bind_tensor(m);
  bind_calls(m);
  bind_ring(m);
  bind_registry(m);
#ifdef ATTEND_HAVE_ENGINE
  bind_engine(m);
#endif
}
