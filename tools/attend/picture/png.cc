#include <array>
#include <cstdint>

#include "tools/attend/picture/raster.h"

// PNG without a library: pictures of masks are flat areas, so a deflate that knows two matches, the pixel before and
// the row above, comes within a small factor of zlib, and the demonstration needs no further package.
//   source   RFC 1950, 1951, 2083
namespace attend::cli {
namespace {

class BitWriter {
 public:
  void bits(uint32_t value, int count) {  // least significant first
    for (int i = 0; i < count; ++i) {
      byte_ = static_cast<uint8_t>(byte_ | (value >> i & 1) << used_);
      if (++used_ == 8) flush();
    }
  }
  void huffman(uint32_t code, int count) {  // most significant first
    for (int i = count; i-- > 0;) bits(code >> i & 1, 1);
  }
  std::string finish() {
    if (used_ > 0) flush();
    return std::move(bytes_);
  }

 private:
  void flush() {
    bytes_ += static_cast<char>(byte_);
    byte_ = 0;
    used_ = 0;
  }
  std::string bytes_;
  uint8_t byte_ = 0;
  int used_ = 0;
};

// The fixed code of RFC 1951, 3.2.6.
void literal_or_length(BitWriter& out, uint32_t symbol) {
  if (symbol < 144)
    out.huffman(0x30 + symbol, 8);
  else if (symbol < 256)
    out.huffman(0x190 + symbol - 144, 9);
  else if (symbol < 280)
    out.huffman(symbol - 256, 7);
  else
    out.huffman(0xc0 + symbol - 280, 8);
}

// Symbols with a base and extra bits: lengths 3..258 from 257 on, distances from 0 on.
void length(BitWriter& out, uint32_t n) {
  if (n == 258) return literal_or_length(out, 285);
  uint32_t symbol = 257, base = 3;
  int extra = 0;
  for (uint32_t i = 0;; ++i, ++symbol) {
    extra = i < 8 ? 0 : static_cast<int>(i / 4) - 1;
    if (n < base + (1u << extra)) break;
    base += 1u << extra;
  }
  literal_or_length(out, symbol);
  out.bits(n - base, extra);
}

void distance(BitWriter& out, uint32_t n) {
  uint32_t symbol = 0, base = 1;
  int extra = 0;
  for (;; ++symbol) {
    extra = symbol < 4 ? 0 : static_cast<int>(symbol / 2) - 1;
    if (n < base + (1u << extra)) break;
    base += 1u << extra;
  }
  out.huffman(symbol, 5);
  out.bits(n - base, extra);
}

std::string deflate(const std::string& data, size_t row_bytes) {
  BitWriter out;
  out.bits(1, 1);  // the last block
  out.bits(1, 2);  // fixed code
  const auto run = [&](size_t at, size_t back) {
    if (back > at || back > 32768) return size_t{0};
    size_t n = 0;
    while (n < 258 && at + n < data.size() && data[at + n] == data[at + n - back]) ++n;
    return n;
  };
  for (size_t at = 0; at < data.size();) {
    const size_t above = run(at, row_bytes), before = run(at, 3);
    const size_t best = std::max(above, before);
    if (best < 3) {
      literal_or_length(out, static_cast<uint8_t>(data[at++]));
      continue;
    }
    length(out, static_cast<uint32_t>(best));
    distance(out, above > before ? static_cast<uint32_t>(row_bytes) : 3);
    at += best;
  }
  literal_or_length(out, 256);
  return out.finish();
}

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

uint32_t adler32(const std::string& data) {
  uint32_t a = 1, b = 0;
  for (char c : data) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

uint32_t crc32(const std::string& data) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t n = 0; n < 256; ++n) {
      t[n] = n;
      for (int k = 0; k < 8; ++k) t[n] = t[n] & 1 ? 0xedb88320u ^ t[n] >> 1 : t[n] >> 1;
    }
    return t;
  }();
  uint32_t c = ~0u;
  for (char x : data) c = table[(c ^ static_cast<uint8_t>(x)) & 0xff] ^ c >> 8;
  return ~c;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<uint32_t>(data.size())) + type + data +
         big_endian(crc32(type + data));
}

}  // namespace

std::string encode_png(int width, int height, const std::vector<Color>& pixels) {
  std::string rows;
  auto pixel = pixels.begin();
  for (int y = 0; y < height; ++y) {
    rows += '\0';  // no filter
    for (int x = 0; x < width; ++x, ++pixel)
      rows +=
          {static_cast<char>(pixel->r), static_cast<char>(pixel->g), static_cast<char>(pixel->b)};
  }
  const std::string zlib =
      "\x78\x01" + deflate(rows, static_cast<size_t>(width) * 3 + 1) + big_endian(adler32(rows));
  const std::string header = big_endian(static_cast<uint32_t>(width)) +
                             big_endian(static_cast<uint32_t>(height)) +
                             std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", zlib) + chunk("IEND", "");
}

}  // namespace attend::cli
