#include "tests/support/case_lengths.h"

#include <algorithm>
#include <numeric>

namespace attend::testing {
namespace {

// Lengths of ragged sequences: the case's own, none, about half, one less; in a turn of their own.
std::vector<int64_t> ragged_lengths(int64_t batch, int64_t length, uint64_t turn) {
  const int64_t choices[] = {length, 0, (length + 1) / 2, std::max<int64_t>(length - 1, 0)};
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < batch; ++b)
    lengths.push_back(choices[(static_cast<uint64_t>(b) + turn) % (batch < 4 ? 1 : 4)]);
  return lengths;
}

int64_t longest(const std::vector<int64_t>& lengths) {
  return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
}

// Of each sequence all, half, three quarters or none, in a turn of their own.
std::vector<int64_t> used_of(CaseMemory& memory, const std::vector<int64_t>& lengths) {
  memory.next_role();
  std::vector<int64_t> used;
  for (size_t b = 0; b < lengths.size(); ++b) {
    const int64_t n = lengths[b];
    const int64_t choices[] = {n, n / 2, n - n / 4, 0};
    used.push_back(choices[(b + memory.draw(-3)) % 4]);
  }
  return used;
}

// Keys of the requests of a paged call, and the words that tell them.
void make_paged_keys(CaseMemory& memory, SeqLayout& seq, CaseLengths& lengths) {
  const AttentionCase& c = memory.c;
  const bool context = c.own_rows != OwnRows::kNone || c.keys_from == KeysFrom::kContextLens ||
                       c.keys_from == KeysFrom::kAllWords;
  memory.next_role();
  for (int64_t b = 0; b < c.batch; ++b) {
    const int64_t n = c.seqlen_k, rows = lengths.rows_used[static_cast<size_t>(b)];
    const int64_t choices[] = {n, n - n / 4, (n + 1) / 2, b < 3 ? n : 0};
    const int64_t keys = !c.k_lens.empty() ? c.k_lens[static_cast<size_t>(b)]
                         : c.full_lengths
                             ? n
                             : choices[(static_cast<uint64_t>(b) + memory.draw(-1)) % 4];
    // The keys before this call's rows, which are keys too.
    const int64_t before = context ? std::max<int64_t>(keys - rows, 0) : keys;
    lengths.keys_used.push_back(context ? before + rows : keys);
    lengths.cached.push_back(c.own_rows == OwnRows::kNone ? lengths.keys_used.back() : before);
  }
  lengths.max_keys = longest(lengths.keys_used);
  if (c.max_seqlen) seq.max_seqlen_k = lengths.max_keys += 2;
  const bool all = c.keys_from == KeysFrom::kAllWords;
  if (all || c.keys_from == KeysFrom::kSequsedK) seq.seqused_k = memory.indices(lengths.keys_used);
  if (all || c.keys_from == KeysFrom::kCuSeqlensK)
    seq.cu_seqlens_k = memory.indices(cumulative(lengths.keys_used));
  if (!context) return;
  std::vector<int64_t> before;
  for (size_t b = 0; b < lengths.keys_used.size(); ++b)
    before.push_back(lengths.keys_used[b] - lengths.rows_used[b]);
  seq.context_lens = memory.indices(before);
}

// The range of a decode call: some are empty, some begin behind their end.
void make_range(CaseMemory& memory, SeqLayout& seq, CaseLengths& lengths) {
  const AttentionCase& c = memory.c;
  if (c.end) {
    lengths.keys_used = c.k_lens.empty() ? used_of(memory, lengths.keys) : c.k_lens;
    seq.end = memory.indices(lengths.keys_used);
  }
  if (!c.start) return;
  memory.next_role();
  std::vector<int64_t> start;
  for (int64_t b = 0; b < c.batch; ++b) {
    const int64_t end = lengths.keys_used[static_cast<size_t>(b)];
    start.push_back(memory.draw(b) % 5 == 0 ? memory.upto(c.seqlen_k, b) : memory.upto(end / 2, b));
  }
  seq.start = memory.indices(start);
}

}  // namespace

std::vector<int64_t> cumulative(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> sums = {0};
  for (int64_t n : lengths) sums.push_back(sums.back() + n);
  return sums;
}

int64_t CaseLengths::first_row(const AttentionCase& c, int64_t b) const {
  if (c.layout == Layout::kDense) return b * c.seqlen_q;
  return std::accumulate(rows.begin(), rows.begin() + b, int64_t{0});
}

CaseLengths make_lengths(CaseMemory& memory, SeqLayout& seq) {
  const AttentionCase& c = memory.c;
  const auto batch = static_cast<size_t>(c.batch);
  CaseLengths lengths;
  lengths.rows.assign(batch, c.seqlen_q);
  lengths.keys.assign(batch, c.seqlen_k);
  lengths.max_rows = c.seqlen_q;
  if (c.layout == Layout::kRagged) {
    const auto drawn = [&](const std::vector<int64_t>& given, int64_t length, int64_t turn) {
      return given.empty() ? ragged_lengths(c.batch, length, memory.draw(turn)) : given;
    };
    lengths.rows = drawn(c.q_lens, c.seqlen_q, -1);
    if (!c.paged()) lengths.keys = drawn(c.k_lens, c.seqlen_k, -2);
    seq.cu_seqlens_q = memory.indices(cumulative(lengths.rows));
    if (!c.paged()) seq.cu_seqlens_k = memory.indices(cumulative(lengths.keys));
    lengths.total_rows = cumulative(lengths.rows).back() + (memory.guarded() ? 3 : 0);
    lengths.total_keys = cumulative(lengths.keys).back() + (memory.guarded() ? 2 : 0);
    lengths.max_rows = longest(lengths.rows);
    if (c.max_seqlen) seq.max_seqlen_q = lengths.max_rows += 3;
  }
  lengths.max_keys = longest(lengths.keys);
  if (c.max_seqlen && c.layout == Layout::kRagged) seq.max_seqlen_k = lengths.max_keys += 2;
  if (batch == 0 && c.layout == Layout::kDense) lengths.max_keys = c.seqlen_k;
  lengths.rows_used = lengths.rows;
  if (c.seqused_q) {
    lengths.rows_used = c.q_lens.empty() ? used_of(memory, lengths.rows) : c.q_lens;
    seq.seqused_q = memory.indices(lengths.rows_used);
  }
  if (c.paged()) {
    make_paged_keys(memory, seq, lengths);
    return lengths;
  }
  lengths.keys_used = lengths.keys;
  if (c.seqused_k) {
    lengths.keys_used = c.k_lens.empty() ? used_of(memory, lengths.keys) : c.k_lens;
    seq.seqused_k = memory.indices(lengths.keys_used);
  }
  make_range(memory, seq, lengths);
  return lengths;
}

}  // namespace attend::testing
