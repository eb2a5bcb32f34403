#include "tests/simt/driver/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <sstream>

#include "tests/simt/executor/sanitizers.h"

namespace attend::simt {
namespace {

constexpr size_t kPage = 4096, kAlignment = 256;
constexpr size_t kPages = (size_t{64} << 30) / kPage;
constexpr size_t kRound = (size_t{256} << 20) / kPage;  // pages until the search begins again
constexpr size_t kGivenBack = size_t{1} << 20;          // larger allocations, when they are freed
constexpr size_t kFilled = size_t{256} << 20;           // larger allocations stay sparse
constexpr int kAccess = PROT_READ | PROT_WRITE;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

std::string counted(size_t bytes) { return std::to_string(bytes) + " bytes"; }

}  // namespace

size_t Arena::bytes() { return kPages * kPage; }

Arena::Arena() {
  file_ = memfd_create("attend-simt", 0);  // inherited: interpreters open it by its number
  if (file_ < 0 || ftruncate(file_, static_cast<off_t>(bytes())) != 0) throw std::bad_alloc();
  const auto map = [&](int access) {
    void* const at = mmap(nullptr, bytes(), access, MAP_SHARED | MAP_NORESERVE, file_, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    return static_cast<char*>(at);
  };
  base_ = map(PROT_NONE);
  through_ = map(kAccess);
}

Arena::~Arena() {
  munmap(base_, bytes());
  munmap(through_, bytes());
  close(file_);
}

void Arena::protect(const Allocation& a, int access) {
  mprotect(base_ + a.first_page * kPage, a.pages * kPage, access);
}

void Arena::open(int change) {
  const std::lock_guard lock(mutex_);
  const bool was = opened_ > 0;
  opened_ += change;
  if (was == (opened_ > 0)) return;
  for (const auto& [offset, a] : live_)
    if (a.kind == Kind::kDevice) protect(a, opened_ ? kAccess : PROT_NONE);
}

// The first page of so many free ones, with one more on each side; 0 if there is no room.
size_t Arena::find_room(size_t pages) {
  const auto search = [&](size_t from, size_t to) -> size_t {
    size_t page = std::max<size_t>(from, 1);
    auto next = live_.lower_bound(page * kPage);
    if (next != live_.begin()) {
      const Allocation& before = std::prev(next)->second;
      page = std::max(page, before.first_page + before.pages + 1);
    }
    while (page + pages < to) {
      if (next == live_.end() || page + pages < next->second.first_page) return page;
      page = next->second.first_page + next->second.pages + 1;
      ++next;
    }
    return 0;
  };
  size_t page = cursor_ < kRound ? search(cursor_, kRound) : 0;
  if (!page) page = search(0, kRound);
  if (!page) page = search(kRound, kPages);
  return page;
}

void* Arena::allocate(size_t bytes, Kind kind) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0 || bytes > kPages * kPage / 2) return nullptr;
  Allocation a{.bytes = bytes, .pages = round_up(bytes, kPage) / kPage, .kind = kind};
  a.first_page = find_room(a.pages);
  if (!a.first_page) return nullptr;
  cursor_ = a.first_page + a.pages + 1;
  const size_t end = (a.first_page + a.pages) * kPage, offset = end - round_up(bytes, kAlignment);
  freed_.erase(freed_.lower_bound(a.first_page * kPage), freed_.lower_bound(end));
  live_.emplace(offset, a);
  const size_t begin = a.first_page * kPage;
  if (bytes <= kFilled)
    std::memset(through_ + begin, 0xff, end - begin);
  else  // sparse, but for the bands
    for (const size_t band : {begin, end - kPage}) std::memset(through_ + band, 0xff, kPage);
  unpoison(base_ + begin, end - begin);
  poison(base_ + begin, offset - begin);
  poison(base_ + offset + bytes, end - offset - bytes);
  if (kind == Kind::kPinned || opened_) protect(a, kAccess);
  return base_ + offset;
}

std::string Arena::release(void* data, Kind kind) {
  const std::lock_guard lock(mutex_);
  const auto at = static_cast<size_t>(static_cast<char*>(data) - base_);
  const auto found = live_.find(at);
  if (found == live_.end() || found->second.kind != kind)
    return "freed: " + describe(reinterpret_cast<uintptr_t>(data)) +
           (kind == Kind::kPinned ? ", expected the start of a pinned allocation"
                                  : ", expected the start of an allocation");
  std::string error = damage(found->first, found->second);
  const Allocation& a = found->second;
  unpoison(base_ + a.first_page * kPage, a.pages * kPage);
  if (kind == Kind::kPinned || opened_) protect(a, PROT_NONE);
  if (a.bytes > kGivenBack)
    fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              static_cast<off_t>(a.first_page * kPage), static_cast<off_t>(a.pages * kPage));
  freed_.insert(*found);
  live_.erase(found);
  return error;
}

void* Arena::through(const void* address) const {
  const auto at = reinterpret_cast<uintptr_t>(address) - base();
  return at < bytes() ? through_ + at : const_cast<void*>(address);
}

Arena::Allocations::const_iterator Arena::holding(const void* address) const {
  const auto at = reinterpret_cast<uintptr_t>(address) - base();
  auto next = live_.upper_bound(at);
  if (next == live_.begin()) return live_.end();
  --next;
  return at < next->first + next->second.bytes ? next : live_.end();
}

bool Arena::has(const void* address, Kind kind) const {
  const std::lock_guard lock(mutex_);
  const auto found = holding(address);
  return found != live_.end() && found->second.kind == kind;
}

size_t Arena::bytes_at(const void* data) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(static_cast<size_t>(static_cast<const char*>(data) - base_));
  return found == live_.end() ? 0 : found->second.bytes;
}

std::string Arena::fault(const void* address, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto at = reinterpret_cast<uintptr_t>(address) - base();
  if (at >= kPages * kPage || bytes == 0) return {};
  const auto found = holding(address);
  if (found == live_.end()) return describe(reinterpret_cast<uintptr_t>(address));
  if (at + bytes <= found->first + found->second.bytes) return {};
  return counted(bytes) + " at byte " + std::to_string(at - found->first) +
         " of an allocation of " + counted(found->second.bytes);
}

std::string Arena::damage(size_t offset, const Allocation& a) const {
#if !defined(__SANITIZE_ADDRESS__)  // which has reported it
  const char* const data = through_ + offset;
  const char* const page = through_ + a.first_page * kPage;
  for (const auto& [from, to] :
       {std::pair(page, data), std::pair(data + a.bytes, page + a.pages * kPage)}) {
    if (from == to ||
        (*from == '\xff' && !std::memcmp(from, from + 1, static_cast<size_t>(to - from - 1))))
      continue;
    const char* const bad = std::find_if(from, to, [](char c) { return c != '\xff'; });
    return "guard band written at byte " + std::to_string(bad - data) + " of an allocation of " +
           counted(a.bytes);
  }
#else
  (void)offset, (void)a;
#endif
  return {};
}

std::string Arena::damage() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [offset, a] : live_)
    if (std::string error = damage(offset, a); !error.empty()) return error;
  return {};
}

std::string Arena::describe(uintptr_t address) const {
  const std::lock_guard lock(mutex_);
  std::ostringstream text;
  text << "address 0x" << std::hex << address << std::dec;
  const size_t at = address - base();
  if (at >= kPages * kPage) {
    text << ", which is no device memory";
    return text.str();
  }
  for (const auto* list : {&live_, &freed_}) {
    const char* const what = list == &live_ ? "an allocation of " : "a freed allocation of ";
    auto next = list->upper_bound(at);
    if (next != list->end() && next->second.first_page * kPage - kPage <= at) {
      text << ", " << next->first - at << " bytes before " << what << counted(next->second.bytes);
      return text.str();
    }
    if (next == list->begin()) continue;
    --next;
    const size_t past = at - next->first,
                 pages_end = (next->second.first_page + next->second.pages + 1) * kPage;
    if (past < next->second.bytes || at < pages_end) {
      text << ", byte " << past << " of " << what << counted(next->second.bytes);
      return text.str();
    }
  }
  text << ", outside every allocation";
  return text.str();
}

std::vector<std::pair<uintptr_t, size_t>> Arena::allocations() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<uintptr_t, size_t>> list;
  for (const auto& [offset, a] : live_) list.emplace_back(base() + offset, a.bytes);
  return list;
}

}  // namespace attend::simt
