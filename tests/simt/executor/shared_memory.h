#pragma once
#include <cstdint>

// The shared memory of a block, between pages that nobody may touch.
//
//   | no access | 0xff ... | the launch's bytes | 0xff ... | no access | cells |
//
// The launch's bytes end at the last page boundary that their alignment (1024, as on a GPU) allows.
// What is left of their pages holds 0xff, which reads as NaN, is checked after each block, and is
// poisoned for the address sanitizer.
namespace attend::simt {

class SharedMemory {
 public:
  static constexpr uint32_t kMost = 256 << 10;  // more than any GPU has

  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Shared memory of this many bytes that no one has written: all 0xff.
  void begin(uint32_t bytes);
  char* data() const { return data_; }
  uint32_t bytes() const { return bytes_; }
  // Whether an address is near enough to be meant for shared memory.
  bool near(uintptr_t address) const;
  int64_t offset(uintptr_t address) const;
  // The offset of the first byte that was written outside the launch's bytes, or 0.
  int64_t overwritten() const;

  // Cells for release and acquire (sanitizers.h), others for each of 64 blocks in a row: what one
  // block's threads have told each other, the next one's do not know.
  static constexpr uint32_t kBlockCellBytes = 1024, kCellBytes = 64 * kBlockCellBytes;
  char* cells() const;

 private:
  char* end() const;

  char* region_ = nullptr;
  char* open_ = nullptr;  // where the pages begin that may be touched
  char* data_ = nullptr;
  uint32_t bytes_ = 0;
  uint32_t blocks_ = 0;  // begun so far
};

}  // namespace attend::simt
