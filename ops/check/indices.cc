// What index tensors hold, request by request: ops/common/index_check.h, and what only the whole
// call shows.
#include <algorithm>
#include <utility>
#include <vector>

#include "ops/check/index_words.h"
#include "ops/checks.h"
#include "ops/common/live_pages.h"

namespace attend {
namespace {

// Slots of rows that are stored: within the pages, each its own.
void check_slots(const char* where, const AttentionArgs& a) {
  if (!a.seq.slot_mapping) return;
  std::vector<std::pair<int64_t, int64_t>> live;  // (slot, token)
  const auto look_at = [&](int64_t token) {
    refuse(where, bad_slot(a, token));
    if (const int64_t slot = index_at(a.seq.slot_mapping, token); slot >= 0)
      live.emplace_back(slot, token);
  };
  if (a.q) {
    for (int64_t b = 0; b < call_shape(a).batch; ++b)
      for (int64_t t = 0, first = first_new_row(a, b); t < query_rows(a, b); ++t)
        look_at(first + t);
  } else {
    for (int64_t t = 0; t < a.seq.slot_mapping.dim(0); ++t) look_at(t);
  }
  std::sort(live.begin(), live.end());
  for (size_t i = 1; i < live.size(); ++i)
    if (live[i].first == live[i - 1].first)
      refuse(where, taken_slot(ErrorArgument::kSlotMapping, live[i].second, live[i].first,
                               live[i - 1].second));
}

}  // namespace

void check_indices(const char* where, const AttentionArgs& a, const AttentionParams& p) {
  if (!a.q) return check_slots(where, a);
  refuse(where, bad_start(a.seq.cu_seqlens_q, ErrorArgument::kCuSeqlensQ));
  refuse(where, bad_start(a.seq.cu_seqlens_k, ErrorArgument::kCuSeqlensK));
  refuse(where, bad_start(a.seq.kv_indptr, ErrorArgument::kKvIndptr));
  for (int64_t b = 0; b < call_shape(a).batch; ++b) {
    refuse(where, WordCheck(a, p, b, {}).bad());
    const LivePages pages(a, p, b, true);
    for (int64_t n = 0; n < pages.count(); ++n)
      if (pages.bad(n)) refuse(where, pages.word(n));
  }
  check_slots(where, a);
}

}  // namespace attend
