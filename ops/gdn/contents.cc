#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ops/check/indices.h"
#include "ops/gdn/checks.h"

// Contents of the small tensors of a gdn call: sequence lengths, slots and gates.
namespace attend {
namespace {

constexpr const char* kWhere = "gdn";

void check_state_slots(const GdnArgs& a, const GdnParams& p, int64_t batch) {
  const TensorView& pool = a.state ? a.state : a.final_state ? a.final_state : a.conv_state;
  const int64_t slots = pool.dim(0);
  if (p.padding_slot >= slots)
    out_of_range(kWhere, "padding_slot is " + std::to_string(p.padding_slot) + ", expected below " +
                             std::to_string(slots) + ", the slots there are");
  std::vector<std::pair<int64_t, int64_t>> live;  // (slot, sequence)
  live.reserve(static_cast<size_t>(batch));
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t slot = index_at(a.state_indices, b);
    if (slot < 0 || slot >= slots)
      out_of_range(kWhere, at("state_indices", b) + " is " + std::to_string(slot) +
                               ", expected 0 to " + std::to_string(slots - 1) +
                               ", the slots there are");
    if (slot != p.padding_slot) live.emplace_back(slot, b);
  }
  std::sort(live.begin(), live.end());
  for (size_t i = 1; i < live.size(); ++i)
    if (live[i].first == live[i - 1].first)
      throw_invalid(kWhere, at("state_indices", live[i].second) + " is " +
                                std::to_string(live[i].first) + ", expected a slot of its own; " +
                                at("state_indices", live[i - 1].second) + " has it");
}

// Every element of a gate in the rows of sequences that are not padding. The loop that only asks
// is apart from the one that says where, so that it stays short.
template <class Good>
void check_gate(const char* arg, const TensorView& t, const GdnArgs& a, const GdnParams& p,
                const GdnShape& shape, const char* want, Good&& good) {
  if (!t) return;
  const int lead = shape.ragged ? 1 : 2;
  const int64_t heads = t.dim(lead), inner = t.rank > lead + 1 ? t.dim(-1) : 1,
                row_step = t.step(lead - 1), head_step = t.step(lead),
                inner_step = t.rank > lead + 1 ? t.step(-1) : 0;
  const auto* const data = static_cast<const float*>(t.data);
  for (int64_t b = 0; b < shape.batch; ++b) {
    const GdnSequence s = gdn_sequence(a, p, shape, b);
    if (s.padding) continue;
    for (int64_t i = 0; i < s.len; ++i) {
      const int64_t row = shape.ragged ? (s.first + i) * row_step : b * t.step(0) + i * row_step;
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t c = 0; c < inner; ++c) {
          const float x = data[row + h * head_step + c * inner_step];
          if (good(x)) continue;
          std::string index = shape.ragged ? std::to_string(s.first + i)
                                           : std::to_string(b) + ", " + std::to_string(i);
          index += ", " + std::to_string(h);
          if (t.rank > lead + 1) index += ", " + std::to_string(c);
          out_of_range(kWhere, std::string(arg) + "[" + index + "] is " + gdn_text(x) +
                                   ", expected " + want);
        }
    }
  }
}

}  // namespace

void check_gdn_contents(const GdnArgs& a, const GdnParams& p) {
  const GdnShape shape = gdn_shape(a, p);
  if (shape.ragged) check_cumulative(kWhere, "cu_seqlens", a.cu_seqlens, shape.rows, 0);
  if (a.state_indices) check_state_slots(a, p, shape.batch);
  check_gate("g", a.g, a, p, shape, "0 or less, the natural logarithm of a decay",
             [](float x) { return x <= 0.0f; });
  check_gate("alpha", a.alpha, a, p, shape, "a decay above 0 and at most 1",
             [](float x) { return x > 0.0f && x <= 1.0f; });
  check_gate("beta", a.beta, a, p, shape, "0 to 2", [](float x) { return x >= 0.0f && x <= 2.0f; });
}

}  // namespace attend
