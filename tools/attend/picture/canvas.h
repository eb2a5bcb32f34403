#pragma once
#include <cstdint>
#include <string>

namespace attend::cli {

struct Color {
  uint8_t r = 0, g = 0, b = 0;
  friend bool operator==(Color, Color) = default;
};

inline Color mix(Color a, Color b, double share) {  // share of b
  const auto one = [&](uint8_t x, uint8_t y) {
    return static_cast<uint8_t>(x + (y - x) * share + 0.5);
  };
  return {one(a.r, b.r), one(a.g, b.g), one(a.b, b.b)};
}

inline constexpr Color kInk{34, 40, 49}, kFaint{120, 128, 138}, kPaper{255, 255, 255},
    kFrame{200, 205, 212};

enum class Anchor : uint8_t { kStart, kMiddle, kEnd };

// What a picture is drawn on: SVG (svg.h) or pixels (raster.h). Units are pixels, y grows downwards; text stands on
// its baseline.
class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void rect(double x, double y, double w, double h, Color fill) = 0;
  virtual void text(double x, double y, const std::string& words, double size, Anchor anchor,
                    Color color) = 0;
  virtual void upward_text(double x, double y, const std::string& words, double size,
                           Color color) = 0;  // centred
  virtual double text_width(const std::string& words, double size) const = 0;

  void frame(double x, double y, double w, double h, Color color) {
    rect(x - 1, y - 1, w + 2, 1, color), rect(x - 1, y + h, w + 2, 1, color);
    rect(x - 1, y, 1, h, color), rect(x + w, y, 1, h, color);
  }
};

// Steps of 1, 2 or 5 times a power of ten, so that at most `most` ticks fall on n cells.
inline int64_t tick_step(int64_t n, int64_t most) {
  for (int64_t power = 1;; power *= 10)
    for (int64_t digit : {1, 2, 5})
      if (n <= digit * power * most) return digit * power;
}

}  // namespace attend::cli
