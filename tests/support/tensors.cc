#include "tests/support/tensors.h"

#include "tests/support/case_keys.h"
#include "tests/support/case_words.h"
#include "tests/support/guards.h"
#include "tests/support/oracle.h"

namespace attend::testing {

struct CaseTensors::State : CaseMemory {
  using CaseMemory::CaseMemory;
};

CaseTensors::CaseTensors(const AttentionCase& c, Fill fill, uint64_t seed)
    : state_(std::make_unique<State>(c, fill, seed)) {
  State& memory = *state_;
  const bool ragged = c.layout == Layout::kRagged;
  const CaseLengths lengths = make_lengths(memory, args.seq);
  const auto rows_shape = [&](int64_t heads, int64_t dim) {
    return ragged ? std::vector<int64_t>{lengths.total_rows, heads, dim}
                  : std::vector<int64_t>{c.batch, c.seqlen_q, heads, dim};
  };
  const int position = ragged ? 0 : 1, head = ragged ? 1 : 2;
  args.q = memory.floats(c.dtype, rows_shape(c.heads, c.head_dim), c.strides, position, head);
  const Block& q = memory.last_input();
  const CaseKeys keys = make_keys(memory, lengths, args);
  const Block* bias = make_score_words(memory, lengths, params);
  make_position_words(memory, lengths, params.mask);

  args.out = memory.output("out", c.out_f32 ? DType::kF32 : c.dtype, rows_shape(c.heads, c.dim_v()),
                           position, head);
  if (c.lse) {
    args.lse = memory.output("lse", DType::kF32,
                             ragged ? std::vector<int64_t>{c.heads, lengths.total_rows}
                                    : std::vector<int64_t>{c.batch, c.heads, c.seqlen_q},
                             -1, -1);
  }
  const std::vector<int64_t> pairs = {c.batch, c.heads, lengths.max_rows, lengths.max_keys};
  if (c.weights)
    args.weights = memory.output("weights", c.weights_f32 ? DType::kF32 : c.dtype, pairs, 2, -1);
  if (c.scores) args.scores = memory.output("scores", DType::kF32, pairs, 2, -1);

  const Oracle oracle(args, params);
  if (memory.guarded()) poison_unseen(memory, lengths, keys, q, bias, args, params, oracle);
  if (c.stores()) {  // last, so that they hold what was poisoned
    args.k = memory.stored("k", args.k, *keys.k);
    if (keys.v)
      args.v = memory.stored("v", args.v, *keys.v);
    else
      args.v.data = args.k.data;
  }
  mark_writable(memory, lengths, keys.pages, oracle);
  reset_outputs();
}

CaseTensors::~CaseTensors() = default;
CaseTensors::CaseTensors(CaseTensors&&) noexcept = default;
CaseTensors& CaseTensors::operator=(CaseTensors&&) noexcept = default;

void CaseTensors::reset_outputs() {
  for (OutputMemory& output : state_->outputs) output.reset();
}

std::string CaseTensors::damaged_guard() const {
  for (const OutputMemory& output : state_->outputs) {
    if (const auto byte = output.damaged_byte())
      return std::string(output.name) + ": byte " + std::to_string(*byte) +
             " from the start of its memory was written";
  }
  return "";
}

std::vector<std::byte> CaseTensors::output_bytes(bool pages) const {
  std::vector<std::byte> bytes;
  for (const OutputMemory& output : state_->outputs)
    if (pages || output.before.empty())
      bytes.insert(bytes.end(), output.block->data(), output.block->data() + output.block->size());
  return bytes;
}

}  // namespace attend::testing
