#include "tests/support/case_words.h"

#include <algorithm>
#include <limits>

#include "tests/support/element.h"

namespace attend::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<int64_t> spread_shape(const AttentionCase& c, Spread spread, int64_t rows,
                                  int64_t keys) {
  switch (spread) {
    case Spread::kKeys: return {keys};
    case Spread::kRowsKeys: return {rows, keys};
    case Spread::kHeadsRowsKeys: return {c.heads, rows, keys};
    case Spread::kFull: return {c.batch, c.heads, rows, keys};
    case Spread::kBatchKeys: return {c.batch, 1, 1, keys};
    case Spread::kRows: return {c.batch, c.heads, rows, 1};
    case Spread::kNone: break;
  }
  return {};
}

// A boolean tensor: `quarters` of four are true, and every seventh row is empty.
TensorView booleans(CaseMemory& memory, const std::vector<int64_t>& shape, int32_t quarters = 3) {
  memory.next_role();
  const Placement p = place(shape, memory.c.strides, -1, -1, true);
  std::byte* data = memory.input(p.elements);
  const int64_t row = std::max<int64_t>(shape.back(), 1);
  for (int64_t n = 0; n < p.elements; ++n) {
    const bool empty_row = shape.size() > 1 && row > 1 && memory.draw(-10 - n / row) % 7 == 0;
    data[n] = std::byte{!empty_row && memory.draw(n) % 4 >= static_cast<uint64_t>(4 - quarters)};
  }
  return view_of(data, DType::kBool, shape, p);
}

}  // namespace

const Block* make_score_words(CaseMemory& memory, const CaseLengths& lengths,
                              AttentionParams& params) {
  const AttentionCase& c = memory.c;
  const Block* bias = nullptr;
  if (c.bias != Spread::kNone) {
    params.bias =
        memory.floats(c.bias_dtype, spread_shape(c, c.bias, lengths.max_rows, lengths.max_keys),
                      c.strides, -1, -1);
    bias = &memory.last_input();
    const int64_t bytes = size_bytes(c.bias_dtype);
    for (size_t n = 0; n < bias->size() / static_cast<size_t>(bytes); ++n) {
      if (memory.draw(static_cast<int64_t>(n)) % 11 == 0)
        store(c.bias_dtype, bias->data() + static_cast<int64_t>(n) * bytes, -kInf);
    }
  }
  if (c.keep != Spread::kNone)
    params.mask.keep =
        booleans(memory, spread_shape(c, c.keep, lengths.max_rows, lengths.max_keys));
  if (c.alibi != PerHead::kNone) {
    params.alibi_slopes =
        memory.floats(DType::kF32,
                      c.alibi == PerHead::k1D ? std::vector<int64_t>{c.heads}
                                              : std::vector<int64_t>{c.batch, c.heads},
                      Strides::kContiguous, -1, -1, 0.125f);
  }
  if (c.sinks != PerHead::kNone) {
    params.sinks = memory.floats(
        DType::kF32,
        c.sinks == PerHead::k1D ? std::vector<int64_t>{c.heads} : std::vector<int64_t>{c.heads, 3},
        Strides::kContiguous, -1, -1);
  }
  if (c.scale != Scale::kDefault)
    params.softmax_scale = c.scale == Scale::kGiven ? 0.3f : c.scale == Scale::kZero ? 0.0f : -0.2f;
  params.softcap = c.softcap;
  params.mask_with_bias = c.mask_with_bias;
  params.scores_stage = c.scores_stage;
  if (c.dropout_p > 0) {
    params.deterministic = false;
    params.dropout_p = c.dropout_p;
    params.dropout_seed = hash(memory.seed(), 77);
    params.dropout_offset = 0x100000005;  // only the low 32 bits count
  }
  return bias;
}

void make_position_words(CaseMemory& memory, const CaseLengths& lengths, MaskSpec& mask) {
  const AttentionCase& c = memory.c;
  mask.causal = c.causal;
  mask.diagonal = c.diagonal;
  mask.block_size = c.block_size;
  mask.window_left = c.window_left;
  mask.window_right = c.window_right;
  const auto keys_of = [&](int64_t b) { return lengths.keys_used[static_cast<size_t>(b)]; };
  const auto per_sequence = [&](auto&& value) {
    memory.next_role();
    std::vector<int64_t> values;
    for (int64_t b = 0; b < c.batch; ++b) values.push_back(value(b));
    return values;
  };
  const auto up_to = [&](auto&& most) {
    return memory.indices(per_sequence([&](int64_t b) { return memory.upto(most(b), b); }));
  };
  if (c.q_start) {
    mask.q_start =
        memory.indices(per_sequence([&](int64_t b) { return memory.upto(keys_of(b) + 3, b) - 3; }));
  }
  if (c.block_origin) mask.block_origin = up_to([&](int64_t b) { return keys_of(b) / 2; });
  if (c.prefix) mask.prefix_lens = up_to(keys_of);
  if (c.hole) {
    const auto starts = per_sequence([&](int64_t b) { return memory.upto(keys_of(b), b); });
    const auto ends = per_sequence([&](int64_t b) {
      const int64_t start = starts[static_cast<size_t>(b)];
      return start + memory.upto((keys_of(b) - start) / 2, b);
    });
    mask.hole_starts = memory.indices(starts);
    mask.hole_ends = memory.indices(ends);
  }
  if (c.segments) {
    const auto id = [](int64_t i, int64_t n) {
      return i % 11 == 7 ? -1 : 3 * i / std::max<int64_t>(n, 1);
    };
    // Dense: [batch, width]; ragged: the sequences one after another, then rows of none.
    const auto ids = [&](const std::vector<int64_t>& sequences, bool ragged, int64_t size) {
      memory.next_role();
      std::vector<int64_t> values;
      for (int64_t n : sequences) {
        for (int64_t i = 0; i < n; ++i) values.push_back(id(i, n));
        if (!ragged) values.insert(values.end(), static_cast<size_t>(size - n), -1);
      }
      if (!ragged) return memory.indices(values, {c.batch, size});
      values.resize(static_cast<size_t>(size), -1);
      return memory.indices(values);
    };
    const bool ragged = c.layout == Layout::kRagged;
    mask.q_segment_ids = ids(lengths.rows, ragged, ragged ? lengths.total_rows : c.seqlen_q);
    if (c.paged())
      mask.kv_segment_ids = ids(lengths.keys_used, false, lengths.max_keys);
    else
      mask.kv_segment_ids = ids(lengths.keys, ragged, ragged ? lengths.total_keys : c.seqlen_k);
  }
  if (c.block_mask != Spread::kNone) {
    const auto tiles = [](int64_t length, int64_t size) { return (length + size - 1) / size; };
    mask.block_mask_q = c.block_mask_q;
    mask.block_mask_k = c.block_mask_k;
    mask.block_mask =
        booleans(memory,
                 spread_shape(c, c.block_mask, tiles(lengths.max_rows, c.block_mask_q),
                              tiles(lengths.max_keys, c.block_mask_k)),
                 c.block_mask_quarters);
  }
}

}  // namespace attend::testing
