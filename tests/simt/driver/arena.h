#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// Device memory: a file in memory that this process maps, and interpreters as well.
//
//   | no access | 0xff ... | an allocation | 0xff ... | no access | 0xff ... | the next ...
//
// An allocation begins at a multiple of 256 and ends at most 255 bytes before pages that nobody may
// touch. What is left of its pages is a guard band, checked after each launch and when the
// allocation is freed, and poisoned for the address sanitizer. New memory holds 0xff; freed memory
// cannot be touched, and its addresses come back late.
//
// The host cannot touch device memory but through the driver, as on a machine with a GPU; pinned
// memory it can. The driver itself sees all of it at other addresses, through().
namespace attend::simt {

class Arena {
 public:
  enum class Kind : uint8_t { kDevice, kPinned };

  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* allocate(size_t bytes, Kind kind);  // null if there is no room
  // Empty, or why this cannot be freed, or that a guard band was written.
  std::string release(void* data, Kind kind);

  bool has(const void* address, Kind kind) const;
  size_t bytes_at(const void* data) const;  // of the allocation that begins here
  // Empty, or which allocation does not hold all of [address, address + bytes), where address lies
  // in the arena.
  std::string fault(const void* address, size_t bytes) const;
  std::string damage() const;                     // empty, or which guard band was written
  std::string describe(uintptr_t address) const;  // what lies there, in words
  std::vector<std::pair<uintptr_t, size_t>> allocations() const;

  int file() const { return file_; }
  uintptr_t base() const { return reinterpret_cast<uintptr_t>(base_); }
  static size_t bytes();

  // Where the driver finds what lies at an address: the address itself outside the arena.
  void* through(const void* address) const;

  // Kernels may touch device memory while one lives.
  class Open {
   public:
    explicit Open(Arena& arena) : arena_(arena) { arena_.open(+1); }
    ~Open() { arena_.open(-1); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Arena& arena_;
  };

 private:
  struct Allocation {
    size_t bytes = 0;
    size_t first_page = 0, pages = 0;  // of the arena
    Kind kind = Kind::kDevice;
  };
  using Allocations = std::map<size_t, Allocation>;  // by offset

  void open(int change);
  void protect(const Allocation& a, int access);
  size_t find_room(size_t pages);
  std::string damage(size_t offset, const Allocation& a) const;
  Allocations::const_iterator holding(const void* address) const;

  mutable std::recursive_mutex mutex_;
  int file_ = -1;
  char* base_ = nullptr;
  char* through_ = nullptr;  // the whole file once more, always open
  Allocations live_, freed_;
  size_t cursor_ = 0;  // the page after the latest allocation
  int opened_ = 0;
};

}  // namespace attend::simt
