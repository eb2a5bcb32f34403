#include "ops/gdn/contents.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/check/index_words.h"
#include "ops/gdn/checks.h"

// Contents of the small tensors of a gdn call: sequence lengths, slots and gates.
namespace attend {
namespace {

constexpr const char* kWhere = "gdn";

void check_state_slots(const GdnArgs& a, const GdnParams& p, int64_t batch) {
  std::vector<std::pair<int64_t, int64_t>> live;  // (slot, sequence)
  live.reserve(static_cast<size_t>(batch));
  for (int64_t b = 0; b < batch; ++b) {
    refuse(kWhere, bad_state_slot(a, b));
    if (const int64_t slot = index_at(a.state_indices, b); slot != p.padding_slot)
      live.emplace_back(slot, b);
  }
  std::sort(live.begin(), live.end());
  for (size_t i = 1; i < live.size(); ++i)
    if (live[i].first == live[i - 1].first)
      refuse(kWhere, taken_slot(ErrorArgument::kStateIndices, live[i].second, live[i].first,
                                live[i - 1].second));
}

// Every element of a gate in the rows of sequences that are not padding.
void check_gate(const GdnGate& gate, const GdnArgs& a, const GdnParams& p, const GdnShape& shape) {
  for (int64_t b = 0; b < shape.batch; ++b) {
    const GdnSequence s = gdn_sequence(a, p, shape, b);
    if (s.padding) continue;
    const int64_t first = shape.ragged ? s.first : b * shape.rows;
    for (int64_t n = first; n < first + s.len; ++n) {
      const float* const row = gate.row(n);
      for (int64_t h = 0; h < gate.heads(); ++h)
        for (int64_t i = 0; i < gate.inner(); ++i)
          if (!gate.good(gate.at(row, h, i))) refuse(kWhere, gate.word(n, h, i));
    }
  }
}

}  // namespace

void check_gdn_contents(const GdnArgs& a, const GdnParams& p) {
  const GdnShape shape = gdn_shape(a, p);
  if (shape.ragged) {
    refuse(kWhere, bad_start(a.cu_seqlens, ErrorArgument::kCuSeqlens));
    for (int64_t b = 0; b < shape.batch; ++b)
      refuse(kWhere, bad_cumulative(a.cu_seqlens, ErrorArgument::kCuSeqlens, b, shape.rows, 0));
  }
  if (a.state_indices) check_state_slots(a, p, shape.batch);
  check_gate(gdn_decay_gate(a, shape), a, p, shape);
  check_gate(gdn_beta_gate(a, shape), a, p, shape);
}

}  // namespace attend
