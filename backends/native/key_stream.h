#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace attend::native {

// In place of a key that nobody sees, or that is not there: zeros in every element type.
alignas(64) inline constexpr std::byte kNoRow[576 * 4 + 64]{};

// Asks memory for the keys that narrow rows read next, in the order in which they lie. A line of a
// key serves few query heads, so that this decides how fast decode is. Measured on Zen 5, bf16, 4
// rows a key and head (512 bytes, 7 ns of arithmetic, 12 ns of a plain loop over memory):
//
//   twice     a prefetch that finds all miss buffers taken is forgotten: a loop of nothing else goes
//             through memory at 103 GB/s where 43 can come. Arithmetic then waits for the whole
//             latency, and time is the sum of both. So each line is asked for twice, 2 KiB apart.
//   pages     prefetches wait one after the other for the translation of 4 KiB pages: one line of a
//             page is asked for some pages ahead, 25 GB/s where it is 18 without, and those of 16 KiB
//             at once, so that translations go side by side.
//   distance  the block at hand and what is asked for stay in the first-level cache: a line that comes
//             back from the second takes a miss buffer again. 6 KiB ahead is enough, 16 KiB more
//             costs 2 ns.
class KeyStream {
 public:
  // Keys whose rows lie at rows[0], rows[1], .., kNoRow where there is none; of each, `bytes` lie
  // together, 0 where they do not.
  struct Keys {
    const void* const* rows = nullptr;
    int64_t count = 0, bytes = 0;
  };

  // Keys of `now` are read next, in blocks of so many bytes, after them those of `then`, by so many
  // streams in turn. led: a stream before this one has asked for what its first ask() takes as asked
  // for.
  void open(const Keys& now, const Keys& then, int64_t block_bytes, int64_t streams, bool led) {
    now_ = now;
    then_ = then;
    if (now_.bytes == 0 || then_.bytes == 0) return;
    const int64_t ahead = first_ahead(block_bytes, streams),
                  second = ahead + kSecondAhead / streams;
    near_ = at(ahead);
    far_ = at(second);
    page_ = at(ahead + kPagesAhead / streams);
    at_once_ = kPagesAtOnce / streams;
    untouched_ = 0;
    if (led) return;
    Cursor c = at(0);
    for (int64_t i = 0; i < second; i += kLine, c.offset += kLine) {
      enter(c);
      __builtin_prefetch(c.row + c.offset, 0, 3);
    }
  }

  // Asks for the next so many bytes.
  void ask(int64_t bytes) {
    if (now_.bytes == 0 || then_.bytes == 0) return;
    touch(bytes);
    while (bytes > 0) {
      enter(far_);
      enter(near_);
      const int64_t run = std::min({bytes, far_.bytes - far_.offset, near_.bytes - near_.offset});
      const std::byte *far = far_.row + far_.offset, *near = near_.row + near_.offset;
      for (int64_t i = 0; i < run; i += kLine) {
        __builtin_prefetch(far + i, 0, 3);
        __builtin_prefetch(near + i, 0, 3);
      }
      far_.offset += run;
      near_.offset += run;
      bytes -= run;
    }
  }

  // How many keys of so many bytes it looks at beyond `now`.
  static int64_t keys_beyond(int64_t bytes, int64_t block_bytes, int64_t streams) {
    return bytes == 0 ? 0 : (first_ahead(block_bytes, streams) + kPagesAhead / streams) / bytes + 1;
  }

 private:
  static constexpr int64_t kLine = 64, kPage = 4096;
  static constexpr int64_t kLeastAhead = 6 << 10, kSecondAhead = 2 << 10, kPagesAtOnce = 16 << 10,
                           kPagesAhead = (12 << 10) + kPagesAtOnce;

  static int64_t first_ahead(int64_t block_bytes, int64_t streams) {
    return std::max(kLeastAhead / streams, block_bytes);
  }

  struct Cursor {
    int64_t key, offset, bytes;  // its key, where in the bytes of that
    const std::byte* row;

    uintptr_t page() const { return reinterpret_cast<uintptr_t>(row + offset) / kPage; }
  };

  Cursor key(int64_t n, int64_t offset) const {
    const bool first = n < now_.count;
    const Keys& keys = first ? now_ : then_;
    const int64_t i = first ? n : n - now_.count;
    return {n, offset, keys.bytes,
            static_cast<const std::byte*>(i < keys.count ? keys.rows[i] : kNoRow)};
  }
  Cursor at(int64_t byte) const {
    const int64_t bytes = now_.count * now_.bytes;
    if (byte < bytes) return key(byte / now_.bytes, byte % now_.bytes);
    return key(now_.count + (byte - bytes) / then_.bytes, (byte - bytes) % then_.bytes);
  }
  // Goes on to the next key where this one is at its end.
  void enter(Cursor& c) const {
    if (c.offset >= c.bytes) c = key(c.key + 1, 0);
  }
  // Asks for a line of each page that as many bytes as are read go through, for some pages at a time.
  void touch(int64_t bytes) {
    untouched_ += bytes;
    if (untouched_ < at_once_) return;
    for (; untouched_ >= bytes; untouched_ -= bytes) {
      const uintptr_t before = page_.page();
      page_.offset += bytes;
      while (page_.offset >= page_.bytes) page_ = key(page_.key + 1, page_.offset - page_.bytes);
      if (page_.page() != before) __builtin_prefetch(page_.row + page_.offset, 0, 3);
    }
  }

  Keys now_, then_;
  Cursor near_{}, far_{}, page_{};
  int64_t at_once_ = 0, untouched_ = 0;  // bytes; those that page_ is behind
};

}  // namespace attend::native
