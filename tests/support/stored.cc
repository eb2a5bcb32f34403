#include "tests/support/stored.h"

#include <cmath>
#include <cstring>

#include "tests/support/element.h"
#include "tests/support/oracle_keys.h"

namespace attend::testing {
namespace {

bool holds(DType cache, const void* stored, DType from, const void* row, double descale) {
  if (cache == from) return std::memcmp(stored, row, static_cast<size_t>(size_bytes(from))) == 0;
  const double value = load(from, row), is = load(cache, stored);
  if (std::isnan(value)) return std::isnan(is) || cache == DType::kI8;
  for (double quotient :
       {value / descale, static_cast<double>(static_cast<float>(value / descale))}) {
    alignas(8) std::byte expected[8];
    store(cache, expected, quotient);
    if (std::memcmp(expected, stored, static_cast<size_t>(size_bytes(cache))) == 0) return true;
  }
  return false;
}

// One row in k or in v.
std::string wrong_row(const char* what, const TensorView& pages, const TensorView& own,
                      const TensorView& descale, int64_t b, int64_t t, int64_t token,
                      int64_t slot) {
  for (int64_t h = 0; h < pages.dim(2); ++h) {
    for (int64_t e = 0; e < pages.dim(3); ++e) {
      const void* stored = address_of(pages, {slot / pages.dim(1), slot % pages.dim(1), h, e});
      const void* row =
          own.rank == 4 ? address_of(own, {b, t, h, e}) : address_of(own, {token, h, e});
      const double scale = descale_of(descale, b, h);
      if (holds(pages.dtype, stored, own.dtype, row, scale)) continue;
      return std::string(what) + " slot " + std::to_string(slot) + " (token " +
             std::to_string(token) + ") head " + std::to_string(h) + " e " + std::to_string(e) +
             ": is " + std::to_string(load(pages.dtype, stored)) + " for " +
             std::to_string(load(own.dtype, row)) + " / " + std::to_string(scale);
    }
  }
  return "";
}

}  // namespace

std::string wrong_slot(const AttentionArgs& a) {
  const auto look_at = [&](int64_t b, int64_t t, int64_t token) -> std::string {
    const int64_t slot = load_int(a.seq.slot_mapping, token);
    if (slot < 0) return "";
    const std::string wrong = wrong_row("k", a.k, a.k_new, a.k_descale, b, t, token, slot);
    // v in the memory of k is stored with it, by k's descale.
    if (!wrong.empty() || a.v.data == a.k.data) return wrong;
    return wrong_row("v", a.v, a.v_new, a.v_descale, b, t, token, slot);
  };
  if (!a.q) {  // append: every token, none of a batch
    for (int64_t token = 0; token < a.seq.slot_mapping.dim(0); ++token)
      if (std::string wrong = look_at(0, 0, token); !wrong.empty()) return wrong;
    return "";
  }
  const int64_t batch = a.seq.cu_seqlens_q ? a.seq.cu_seqlens_q.dim(0) - 1 : a.q.dim(0);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t first = a.seq.cu_seqlens_q ? load_int(a.seq.cu_seqlens_q, b) : b * a.q.dim(1);
    for (int64_t t = 0; t < rows_in_use(a, b); ++t)
      if (std::string wrong = look_at(b, t, first + t); !wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace attend::testing
