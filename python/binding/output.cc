#include "output.h"

#include <nanobind/stl/string.h>
#include <sys/mman.h>

#include <string>
#include <utility>

#include "own_tensor.h"

namespace attend::python {

void make_outputs(Request& call, Device device, const std::vector<Wanted>& wanted) {
  if (wanted.empty()) return;
  const nb::object make = nb::module_::import_("attend._kinds").attr("make");
  for (const Wanted& w : wanted) {
    nb::list shape;
    for (int64_t n : w.shape) shape.append(n);
    *w.object = make(call.like, nb::tuple(shape), dtype_name(w.dtype),
                     w.fill ? nb::cast(*w.fill) : nb::none());
    if (w.object->is_none()) {
      OwnTensor own = make_own(w.shape, w.dtype, device, w.fill);
      *w.view = own.view();
      *w.object = nb::cast(std::move(own));
    } else {
      *w.view = call.tensors.output(w.arg, *w.object);
    }
  }
}

void finish_outputs(const Request& call, const std::vector<Wanted>& made) {
  if (made.empty()) return;
  const nb::object finish = nb::module_::import_("attend._kinds").attr("finish");
  for (const Wanted& w : made) *w.object = finish(call.like, *w.object);
}

PlaceholderOutputs::PlaceholderOutputs(const Request& call, Device device,
                                       const std::vector<Wanted>& wanted) {
  constexpr size_t kLine = 64;  // each output starts on a line of its own
  std::vector<size_t> offsets;
  for (const Wanted& w : wanted) {
    *w.view = contiguous(nullptr, w.dtype, w.shape, device);
    size_t bytes = static_cast<size_t>(size_bytes(w.dtype)), rounded = 0, total = 0;
    bool overflow = false;
    for (int64_t dim : w.shape)
      overflow |= __builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes);
    overflow |= __builtin_add_overflow(bytes, kLine, &rounded);
    rounded = rounded / kLine * kLine;
    if (overflow || __builtin_add_overflow(bytes_, rounded, &total))
      throw Error(ErrorCode::kOutOfMemory,
                  call.tensors.where() + ": " + w.arg + " has more bytes than memory can hold");
    offsets.push_back(bytes_);
    bytes_ = total;
  }
  if (bytes_ == 0) return;
  // Addresses alone: no page of it can be touched, so it costs nothing and meets no other tensor.
  void* const base =
      mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    throw Error(ErrorCode::kOutOfMemory, call.tensors.where() + ": " + std::to_string(bytes_) +
                                             " bytes of outputs are not to be had");
  base_ = base;
  for (size_t i = 0; i < wanted.size(); ++i)
    wanted[i].view->data = static_cast<std::byte*>(base_) + offsets[i];
}

PlaceholderOutputs::~PlaceholderOutputs() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

}  // namespace attend::python
