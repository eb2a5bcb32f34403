#include <algorithm>
#include <numeric>

#include "tests/support/case_keys.h"

// The page table of a case: ids shuffled, pages of no request between them, and in entries that no
// key stands behind whatever may stand there.
namespace attend::testing {
namespace {

int64_t pages_for(int64_t keys, int64_t page_size) { return (keys + page_size - 1) / page_size; }

std::vector<int64_t> page_ids(CaseMemory& memory, int64_t count) {
  memory.next_role();
  std::vector<int64_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  const PageOrder order = memory.c.page_order;
  if (order == PageOrder::kReversed) std::reverse(ids.begin(), ids.end());
  if (order == PageOrder::kReversed || order == PageOrder::kInOrder) return ids;
  for (int64_t n = count - 1; n > 0; --n)
    std::swap(ids[static_cast<size_t>(n)], ids[static_cast<size_t>(memory.upto(n, n))]);
  return ids;
}

// Row t of a request stands in the page of its position.
std::vector<int64_t> make_slots(CaseMemory& memory, const CaseLengths& lengths,
                                const CasePages& pages) {
  const AttentionCase& c = memory.c;
  const int64_t tokens = c.layout == Layout::kRagged ? lengths.total_rows : c.batch * c.seqlen_q;
  memory.next_role();
  // Rows that are not in use are never stored, whatever their slot.
  std::vector<int64_t> slots(static_cast<size_t>(tokens), 0);
  for (int64_t b = 0; b < c.batch; ++b) {
    const auto request = static_cast<size_t>(b);
    for (int64_t t = 0; t < lengths.rows_used[request]; ++t) {
      const int64_t token = lengths.first_row(c, b) + t;
      const int64_t position = lengths.cached[request] + t;
      const int64_t page = pages.of_request[request][static_cast<size_t>(position / c.page_size)];
      const bool kept = c.own_rows != OwnRows::kSomeStored || memory.draw(token) % 3 != 0;
      slots[static_cast<size_t>(token)] =
          kept ? page * c.page_size + position % c.page_size : -1 - memory.upto(9, token);
    }
  }
  return slots;
}

}  // namespace

CasePages make_pages(CaseMemory& memory, const CaseLengths& lengths, SeqLayout& seq) {
  const AttentionCase& c = memory.c;
  CasePages pages;
  std::vector<int64_t> live, room;  // pages of each request
  for (size_t b = 0; b < lengths.cached.size(); ++b) {
    live.push_back(pages_for(lengths.cached[b], c.page_size));
    room.push_back(c.stores() ? pages_for(lengths.keys_used[b], c.page_size) : live.back());
  }
  const int64_t used = std::accumulate(room.begin(), room.end(), int64_t{0});
  pages.count = used + used / 2 + 2;
  const std::vector<int64_t> ids = page_ids(memory, pages.count);
  pages.holders.resize(ids.size());
  auto next = ids.begin();
  for (size_t b = 0; b < room.size(); ++b) {
    pages.of_request.emplace_back(next, next + room[b]);
    next += room[b];
    std::vector<int64_t>& own = pages.of_request.back();
    if (c.page_order == PageOrder::kSharedPrefix) {
      const auto& first = pages.of_request.front();
      std::copy_n(first.begin(), std::min(first.size(), own.size()) / 2, own.begin());
    }
    for (size_t n = 0; n < own.size(); ++n)
      pages.holders[static_cast<size_t>(own[n])].emplace_back(b, n);
  }

  // Entry n of request b's table; what is not live may be anything.
  memory.next_role();
  const auto entry = [&](size_t b, int64_t n) {
    if (n < live[b]) return pages.of_request[b][static_cast<size_t>(n)];
    const int64_t anything[] = {-1, pages.count + 7, INT32_MAX, INT32_MIN, ids.back()};
    return anything[memory.draw(n) % 5];
  };
  if (c.table == PageTable::kBlockTable) {
    const int64_t most = room.empty() ? 0 : *std::max_element(room.begin(), room.end());
    std::vector<int64_t> table;
    for (size_t b = 0; b < room.size(); ++b)
      for (int64_t n = 0; n < most + 1; ++n) table.push_back(entry(b, n));
    seq.block_table = memory.indices(table, {c.batch, most + 1});
  } else {
    std::vector<int64_t> table, last;
    for (size_t b = 0; b < room.size(); ++b) {
      for (int64_t n = 0; n < room[b]; ++n) table.push_back(entry(b, n));
      const int64_t keys = c.stores() ? lengths.keys_used[b] : lengths.cached[b];
      // Beside other words the table's length is a capacity.
      const bool exact = c.keys_from == KeysFrom::kCsrAlone && c.own_rows == OwnRows::kNone;
      const int64_t in_last = room[b] == 0 ? 0 : keys - (room[b] - 1) * c.page_size;
      last.push_back(room[b] == 0 || exact
                         ? in_last
                         : memory.upto(c.page_size - in_last, static_cast<int64_t>(b)) + in_last);
    }
    seq.kv_indptr = memory.indices(cumulative(room));
    table.insert(table.end(), {INT32_MAX, -1});  // beyond the last request
    seq.kv_indices = memory.indices(table);
    seq.kv_last_page_len = memory.indices(last);
  }
  if (c.stores()) {
    pages.slots = make_slots(memory, lengths, pages);
    seq.slot_mapping = memory.indices(pages.slots);
  }
  return pages;
}

}  // namespace attend::testing
