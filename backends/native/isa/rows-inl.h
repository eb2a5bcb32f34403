// Whole rows: two weighed and added here, codes of one in quantise-inl.h, either in one pass from
// memory to memory.
#pragma once
#include "backends/native/isa/row_ops.h"
#include "backends/native/isa/tile-inl.h"

namespace attend::native::ATTEND_ISA {

// Calls f<elem>() for a type of rows.
template <class F>
inline void with_row_elem(Elem elem, F&& f) {
  if (elem == Elem::kF32) return f.template operator()<Elem::kF32>();
  if (elem == Elem::kF16) return f.template operator()<Elem::kF16>();
  f.template operator()<Elem::kBF16>();
}

}  // namespace attend::native::ATTEND_ISA

#include "backends/native/isa/quantise-inl.h"

namespace attend::native::ATTEND_ISA {

template <Elem parts, Elem elem, bool both>
void join_elems(const void* a, float by_a, const void* b, float by_b, int64_t n, void* to) {
  const auto joined = [&](VF x, VF y) __attribute__((always_inline)) {
    return both ? x * by_a + y * by_b : x * by_a;
  };
  const auto at = [](const void* row, int64_t i) {
    return static_cast<const char*>(row) + i * elem_bytes(parts);
  };
  auto* out = static_cast<char*>(to);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store_elem(out + i * elem_bytes(elem),
               joined(load_elem(at(a, i), parts), both ? load_elem(at(b, i), parts) : VF{}), elem);
  if (i == n) return;
  const auto rest = static_cast<int>(n - i);
  alignas(64) char part[kLanes * 4];
  store_elem(part,
             joined(load_some(a, i, 1, rest, parts), both ? load_some(b, i, 1, rest, parts) : VF{}),
             elem);
  __builtin_memcpy(out + i * elem_bytes(elem), part,
                   static_cast<std::size_t>(rest * elem_bytes(elem)));
}

inline void join(const void* a, float by_a, const void* b, float by_b, Elem parts, int64_t n,
                 void* to, Elem elem) {
  with_row_elem(parts, [&]<Elem from>() {
    with_row_elem(elem, [&]<Elem as>() {
      (b != nullptr ? join_elems<from, as, true> : join_elems<from, as, false>)(a, by_a, b, by_b, n,
                                                                                to);
    });
  });
}

inline constexpr RowOps kRowOps = {quantise, join};

}  // namespace attend::native::ATTEND_ISA
