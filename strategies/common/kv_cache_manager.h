#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "strategies/common/engine_config.h"
#include "strategies/common/page_list.h"
#include "strategies/common/request.h"

namespace attend::engine {

// Who holds which page of the KV pool.
//
// A page that is full and stored may be shared: requests whose tokens begin alike take it instead of
// computing it again. Pages are found along a chain: by the page before (its serial number, new with
// every filling) and their own tokens, compared in full, so that no hash can confuse two texts. A page
// that nobody holds keeps its keys until it is the one that was free for longest.
class KvCacheManager {
 public:
  explicit KvCacheManager(const EngineConfig& config);
  virtual ~KvCacheManager() = default;

  int32_t num_pages() const noexcept { return static_cast<int32_t>(pages_.size()); }
  int32_t page_size() const noexcept { return page_size_; }
  int32_t free_pages() const noexcept { return free_.size(); }
  int64_t pages_for(int64_t tokens) const noexcept {
    return (tokens + page_size_ - 1) / page_size_;
  }

  // Gives a request without pages those of its longest stored prefix, short of its last token, whose
  // logits somebody will want. Sets num_stored and num_shared.
  virtual void take_prefix(Request& request);
  // Pages for that many tokens in all: every one that is missing, or none and false.
  virtual bool reserve(Request& request, int64_t tokens);
  // Tells that the keys of the first num_stored tokens are in the pages.
  virtual void stored(Request& request);
  // Lets go of all its pages; num_stored becomes 0.
  virtual void release(Request& request);

 private:
  struct Page {
    int32_t holders = 0;
    uint64_t serial = 0;  // of this filling; 0 = not to be shared
    uint64_t before = 0;  // serial of the page before; 0 = the first
    std::vector<int32_t> tokens;
  };
  // A page's place in the chain.
  struct Link {
    uint64_t before;
    std::vector<int32_t> tokens;
    friend bool operator==(const Link&, const Link&) = default;
  };
  struct LinkHash {
    size_t operator()(const Link& link) const noexcept;
  };

  // Leading tokens whose keys are the same bits in every request that begins with them: all; with fixed
  // chunks those of the prompt's whole chunks, as what follows is computed in fewer rows.
  int64_t shareable(const Request& request) const;
  int32_t take_free_page();
  Link link(const Request& request, int64_t index, uint64_t before) const;

  int32_t page_size_;
  bool prefix_caching_;
  int64_t shared_multiple_;  // tokens: prefixes are shared in multiples of it
  std::vector<Page> pages_;
  PageList free_;
  std::unordered_map<Link, int32_t, LinkHash> shared_;
  uint64_t serials_ = 0;
};

}  // namespace attend::engine
