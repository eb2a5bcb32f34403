#pragma once
#include <cstdint>
#include <vector>

#include "strategies/common/request.h"

namespace attend::engine {

// What one request does in one step: rows for tokens [begin, begin + count).
struct ScheduledRequest {
  Request* request = nullptr;
  int64_t begin = 0, count = 0;
  bool samples = false;  // its last row is the last token: the next one is drawn from its logits
};

struct Batch {
  std::vector<ScheduledRequest> items;
  int64_t num_rows() const {
    int64_t rows = 0;
    for (const ScheduledRequest& item : items) rows += item.count;
    return rows;
  }
  bool empty() const { return items.empty(); }
};

}  // namespace attend::engine
