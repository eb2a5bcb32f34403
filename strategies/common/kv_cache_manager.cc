#include "strategies/common/kv_cache_manager.h"

#include <algorithm>
#include <string>

#include "attend/error.h"

namespace attend::engine {

size_t KvCacheManager::LinkHash::operator()(const Link& link) const noexcept {
  uint64_t h = link.before + 0x9e3779b97f4a7c15u;
  for (const int32_t token : link.tokens) {
    h = (h ^ static_cast<uint32_t>(token)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return static_cast<size_t>(h);
}

KvCacheManager::KvCacheManager(const EngineConfig& config)
    : page_size_(config.page_size),
      prefix_caching_(config.prefix_caching),
      shared_multiple_(config.batch_invariant ? std::max<int64_t>(config.chunk, 1) : 1),
      pages_(static_cast<size_t>(std::max(config.num_pages, 0))),
      free_(std::max(config.num_pages, 0)) {
  const auto expect = [](const char* field, int64_t got) {
    if (got < 1)
      throw Error(ErrorCode::kInvalidArgument, std::string("KV cache: ") + field + " is " +
                                                   std::to_string(got) + ", expected 1 or more");
  };
  expect("num_pages", config.num_pages);
  expect("page_size", config.page_size);
}

KvCacheManager::Link KvCacheManager::link(const Request& request, int64_t index,
                                          uint64_t before) const {
  const auto first = request.tokens.begin() + index * page_size_;
  return {before, {first, first + page_size_}};
}

int64_t KvCacheManager::shareable(const Request& request) const {
  if (shared_multiple_ == 1) return request.num_tokens();
  return request.prompt_len - request.prompt_len % shared_multiple_;
}

void KvCacheManager::take_prefix(Request& request) {
  request.num_shared = 0;
  if (!prefix_caching_) return;
  const int64_t most = std::min(shareable(request), request.num_tokens() - 1);
  std::vector<int32_t> found;
  std::vector<uint64_t> chain;
  for (int64_t i = 0; (i + 1) * page_size_ <= most; ++i) {
    const auto at = shared_.find(link(request, i, chain.empty() ? 0 : chain.back()));
    if (at == shared_.end()) break;
    found.push_back(at->second);
    chain.push_back(pages_[static_cast<size_t>(at->second)].serial);
  }
  // Only whole multiples, and of pages only whole ones.
  int64_t tokens = static_cast<int64_t>(found.size()) * page_size_;
  tokens -= tokens % shared_multiple_;
  while (tokens % page_size_ != 0) tokens -= shared_multiple_;
  found.resize(static_cast<size_t>(tokens / page_size_));
  chain.resize(found.size());
  for (const int32_t page : found)
    if (pages_[static_cast<size_t>(page)].holders++ == 0) free_.take(page);
  request.pages = std::move(found);
  request.chain = std::move(chain);
  request.num_stored = request.num_shared = tokens;
}

int32_t KvCacheManager::take_free_page() {
  const int32_t page = free_.front();
  free_.take(page);
  Page& p = pages_[static_cast<size_t>(page)];
  if (p.serial != 0) shared_.erase({p.before, p.tokens});
  p = {.holders = 1, .serial = 0, .before = 0, .tokens = {}};
  return page;
}

bool KvCacheManager::reserve(Request& request, int64_t tokens) {
  const int64_t missing = pages_for(tokens) - static_cast<int64_t>(request.pages.size());
  if (missing > free_pages()) return false;
  if (missing > 0) request.pages.reserve(static_cast<size_t>(pages_for(tokens)));
  for (int64_t i = 0; i < missing; ++i) request.pages.push_back(take_free_page());
  return true;
}

// A page whose twin is shared already stays this request's own; what follows it goes on from the
// twin, where others will find it.
void KvCacheManager::stored(Request& request) {
  if (!prefix_caching_) return;
  const int64_t most = std::min(shareable(request), request.num_stored);
  for (auto i = static_cast<int64_t>(request.chain.size()); (i + 1) * page_size_ <= most; ++i) {
    const int32_t page = request.pages[static_cast<size_t>(i)];
    Link place = link(request, i, request.chain.empty() ? 0 : request.chain.back());
    const auto [at, is_new] = shared_.emplace(place, page);
    if (is_new) {
      Page& p = pages_[static_cast<size_t>(page)];
      p.serial = ++serials_;
      p.before = place.before;
      p.tokens = std::move(place.tokens);
    }
    request.chain.push_back(pages_[static_cast<size_t>(at->second)].serial);
  }
}

// In reverse: of a chain the end becomes free first, and is taken first.
void KvCacheManager::release(Request& request) {
  for (size_t i = request.pages.size(); i-- > 0;)
    if (const int32_t page = request.pages[i]; --pages_[static_cast<size_t>(page)].holders == 0)
      free_.push_back(page);
  request.pages.clear();
  request.chain.clear();
  request.num_stored = 0;
}

}  // namespace attend::engine
